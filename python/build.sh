#!/bin/sh
# Makes the wheel: the backend for Python's keyring and the vault program. Options go to maturin, instead of --release; the wheel
# is in target/wheels.
set -eu
cd "$(dirname "$0")"

maturin=../target/maturin
[ -x "$maturin/bin/maturin" ] || {
    python3 -m venv "$maturin"
    "$maturin/bin/python" -m pip install --quiet --disable-pip-version-check 'maturin>=1.7,<2'
}
[ $# -gt 0 ] || set -- --release
exec "$maturin/bin/maturin" build --locked --out ../target/wheels "$@"
