#!/bin/sh
# What the tests need beside cargo: the programs below, and a Python with tests/reference/requirements.txt.
# Does nothing that is done already.
set -eu
cd "$(dirname "$0")/.."

# A program, and the package of Debian that has it.
needed="
age:age faketime:faketime git:git pinentry-tty:pinentry-tty python3:python3 strace:strace
bwrap:bubblewrap dbus-run-session:dbus gnome-keyring-daemon:gnome-keyring keyctl:keyutils script:bsdutils
secret-tool:libsecret-tools ssh-keygen:openssh-client systemd-creds:systemd
"
missing=
for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
# The agent's tests look into its memory and set its clock.
command -v gcore >/dev/null || missing="$missing gdb"
command -v faketime >/dev/null || missing="$missing faketime"
command -v setpriv >/dev/null || missing="$missing util-linux"
[ -z "$missing" ] || python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get install --yes --no-install-recommends $missing
fi

python=target/reference-python
wanted=tests/reference/requirements.txt
if ! cmp -s "$wanted" "$python/requirements.txt"; then
    rm -rf "$python"
    mkdir -p target
    python3 -m venv "$python"
    "$python/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
    # Copied last: a run that was broken off begins again.
    cp "$wanted" "$python/requirements.txt"
fi
