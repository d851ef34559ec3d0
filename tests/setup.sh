#!/bin/sh
# What the tests need beside cargo: the programs below, and four Pythons, for tests/reference, tests/doors and tests/git.
# Does nothing that is done already.
set -eu
cd "$(dirname "$0")/.."

# A program, and the package of Debian that has it.
needed="
age:age faketime:faketime git:git pinentry-tty:pinentry-tty python3:python3 strace:strace
bwrap:bubblewrap dbus-run-session:dbus gnome-keyring-daemon:gnome-keyring keyctl:keyutils script:bsdutils
pamtester:pamtester secret-tool:libsecret-tools ssh-keygen:openssh-client sshd:openssh-server sshpass:sshpass systemd-creds:systemd
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

# environment FOLDER REQUIREMENTS [COMMAND]: a Python with these packages, and what else the command does in it.
environment() {
    python=$1
    wanted=$2
    if ! cmp -s "$wanted" "$python/requirements.txt"; then
        rm -rf "$python"
        mkdir -p target
        python3 -m venv "$python"
        "$python/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
        [ -z "${3-}" ] || "$3"
        # Copied last: a run that was broken off begins again.
        cp "$wanted" "$python/requirements.txt"
    fi
}

# keyring's own tests are not in its wheel. pipx wants pip from the index that it is told of: so a test's index has one.
keyring_tests() {
    "$python/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$python/download" "$(grep '^pip==' "$wanted")"
    "$python/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
        --dest "$python/download" "$(grep '^keyring==' "$wanted")"
    mkdir "$python/keyring-sdist"
    tar -xzf "$python"/download/keyring-*.tar.gz -C "$python/keyring-sdist" --strip-components 1
}

environment target/reference-python tests/reference/requirements.txt
environment target/doors-python tests/doors/requirements.txt keyring_tests
# By itself: it pins what others want newer.
environment target/doors-poetry tests/doors/poetry.txt
# The framework for hooks.
environment target/hooks-python tests/git/requirements.txt
