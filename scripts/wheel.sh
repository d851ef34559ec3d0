#!/bin/sh
# Builds the wheel with maturin, as it is published, and tries it: the same content as the wheel that the tests make by hand, and
# keyring's own tests of a backend in a fresh virtual environment made from it, without an agent and with one.
#   scripts/wheel.sh [OPTIONS]     for maturin; without any, as python/build.sh: --release
# Takes as long as building the program, which "--profile dev" shares with ./demo. Needs what tests/setup.sh installs.
set -eu
cd "$(dirname "$0")/.."
root=$PWD

rm -rf target/wheels
python/build.sh "$@"
wheel=$(ls "$root"/target/wheels/vault_keyring-*.whl)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset PYTHONPATH PYTHON_KEYRING_BACKEND VAULT_FILE VAULT_AGENT_SOCK
export HOME="$folder" XDG_RUNTIME_DIR="$folder" XDG_CONFIG_HOME="$folder/config" XDG_DATA_HOME="$folder/data"

python3 -m venv fresh
fresh/bin/python -m pip install --quiet --disable-pip-version-check "$wheel" \
    "$(grep '^pytest==' "$root/tests/doors/requirements.txt")"
"$root/target/doors-python/bin/python" "$root/tests/doors/install.py" by-hand fresh/bin/vault
fresh/bin/python "$root/tests/doors/same_wheel.py" "$wheel" by-hand

fresh/bin/vault init --user --machine --quiet >key
export VAULT_MACHINE_KEY_FILE="$folder/key"
cat >test_wheel.py <<'END'
from keyring.testing.backend import BackendBasicTests

import vault_keyring


class TestKeyring(BackendBasicTests):
    def init_keyring(self):
        return vault_keyring.Keyring()
END
fresh/bin/python -m pytest -q -p no:cacheprovider test_wheel.py
fresh/bin/vault unlock
unset VAULT_MACHINE_KEY_FILE
fresh/bin/python -m pytest -q -p no:cacheprovider test_wheel.py
fresh/bin/vault agent stop
fresh/bin/vault door python --enable
fresh/bin/keyring diagnose
fresh/bin/keyring --list-backends | grep -F 'vault_keyring.Keyring (priority: -1)'
