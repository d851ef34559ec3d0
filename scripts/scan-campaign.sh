#!/bin/sh
# How fast "vault scan" looks for 1,000 values through a tree of 1 GiB: half binary, half lines of base64, in 256 files.
#   scripts/scan-campaign.sh [VAULT]     the program, built as releases are
# Prints bytes by the seconds of processor time, which is what one core does; and by the clock.
set -eu
vault=$(realpath "${1:-target/x86_64-unknown-linux-gnu/release/vault}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir tree home
export HOME="$folder/home"
"$vault" --file v.vault init --machine --quiet >key
export VAULT_MACHINE_KEY_FILE="$folder/key"
for i in $(seq 1000); do printf 'NAME_%04d=%s\n' "$i" "$(head -c 24 /dev/urandom | base64)"; done >values
"$vault" --file v.vault import values --format dotenv --quiet
for i in $(seq 128); do
    head -c 4194304 /dev/urandom >"tree/$i.bin"
    head -c 3104000 /dev/urandom | base64 | head -c 4194304 >"tree/$i.txt"
done
"$vault" --file v.vault scan tree --verbose # the page cache is warm from here on
tail -n 1 values | cut -d= -f2 >tree/leak
LC_ALL=C bash -c 'TIMEFORMAT="clock %R s, processor %U + %S s"; time "$0" --file v.vault scan tree --json' "$vault" || [ $? -eq 6 ]
