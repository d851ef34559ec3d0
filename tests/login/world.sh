#!/bin/bash
# A machine of its own for logins: its own /etc with one user more, its own /run, and its own processes, which end with this script. Started by
# tests/login.rs under unshare; root is needed. $1: a folder to work in, with a copy of the program in bin/vault. $2: a port.
# shellcheck disable=SC2317 # the functions are called by "step"
set -euo pipefail
work=$1 port=$2 password='correct horse' user=ada
vault=$work/bin/vault
home=$work/home
cp -a /etc "$work/etc"
mount --bind "$work/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd
useradd --no-create-home --home-dir "$home" --shell /bin/sh $user
printf '%s:%s\n' $user "$password" | chpasswd
uid=$(id -u $user)
mkdir -p "$home/.ssh" "/run/user/$uid"
chmod 700 "/run/user/$uid"
ssh-keygen -q -t ed25519 -N '' -f "$work/hostkey"
ssh-keygen -q -t ed25519 -N '' -f "$work/id"
cp "$work/id.pub" "$home/.ssh/authorized_keys"
chown -R $user: "$home" "/run/user/$uid"

as_user() { setpriv --reuid $user --regid $user --init-groups env -i HOME="$home" USER=$user PATH=/usr/bin:/bin XDG_RUNTIME_DIR="/run/user/$uid" "$@"; }
printf '%s' "$password" >"$work/password"
chmod 644 "$work/password"
as_user "$vault" init --user --kdf-memory 19MiB --passphrase-file "$work/password" 2>/dev/null
printf 'a value' | as_user "$vault" set a --passphrase-file "$work/password" 2>/dev/null

# The recipe as it is shipped; the program and the log are elsewhere.
recipe() { sed "s|pam_exec.so quiet|pam_exec.so quiet log=$work/pam.log|; s|/usr/bin/vault|$vault|" "$work/recipe"; }
{ recipe; printf 'account required pam_unix.so\nsession required pam_unix.so\n'; } >/etc/pam.d/vault-sshd
{ printf 'auth required pam_unix.so\n'; recipe | grep expose_authtok; printf 'account required pam_unix.so\n'; } >/etc/pam.d/vault-naive
cat >"$work/sshd_config" <<END
ListenAddress 127.0.0.1
HostKey $work/hostkey
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
AuthorizedKeysFile $home/.ssh/authorized_keys
StrictModes no
PidFile none
LogLevel VERBOSE
END
# PAM's service is named as the program is.
cp "$(command -v sshd)" "$work/vault-sshd"
"$work/vault-sshd" -f "$work/sshd_config" -p "$port" -D -E "$work/sshd.log" &
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

options=(-F none -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o NumberOfPasswordPrompts=1)
with_password() { timeout 60 sshpass -p "$1" ssh "${options[@]}" -o PreferredAuthentications="$2" -o PubkeyAuthentication=no "$user"@127.0.0.1 "${@:3}"; }
with_key() { timeout 60 ssh "${options[@]}" -i "$work/id" -o BatchMode=yes "$user"@127.0.0.1 "$@"; }
# One line for each step: what it was, how it ended, what it printed.
step() {
    local name=$1 code=0 out
    shift
    out=$("$@" 2>/dev/null </dev/null) || code=$?
    printf '%s: %s [%s]\n' "$name" "$code" "$out"
}
naive() { printf '%s\n' "$1" | pamtester vault-naive "$user" authenticate >/dev/null 2>&1; }
get() { as_user "$vault" --no-input get a; }
get_over() { "$@" "$vault --no-input get a"; }
log() { sed 's/^\*\*\*.*//; /^$/d' "$work/pam.log" 2>/dev/null | tail -n 1; }

step 'locked at first' get
step 'wrong password' with_password 'battery staple' password true
step 'locked after it' get
step 'login with a key' get_over with_key
step 'its log' log
step 'login with the password' get_over with_password "$password" password
step 'its log' log
step 'another login with a key' get_over with_key
as_user "$vault" lock >/dev/null 2>&1
step 'locked' get
step 'login by questions' get_over with_password "$password" keyboard-interactive
as_user "$vault" lock >/dev/null 2>&1
step 'naive stack, wrong password' naive 'battery staple'
step 'its log' log
step 'locked after it' get
step 'naive stack, password' naive "$password"
step 'its log' log
step 'unlocked' get
step 'owner of the agent' sh -c "ps -A -o user=,args= | sed -n 's/ .*agent --detached$//p' | sort -u"
grep -c 'Failed password' "$work/sshd.log" | sed 's/^/failed passwords in the log: /'
{ grep -l -e "$password" -e 'battery staple' "$work/pam.log" "$work/sshd.log" || true; } | sed 's/^/A PASSWORD IS IN /'
exit 0
