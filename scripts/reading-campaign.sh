#!/bin/sh
# How long "vault check --no-key" takes with 10,000 entries, and "vault diff" of two commits with 100,000: the figures of
# docs/performance.md. Each seven times, after one that does not count: by the clock, and the processor's time.
#   scripts/reading-campaign.sh [VAULT]     the program, built as releases are
set -eu
vault=$(realpath "${1:-target/x86_64-unknown-linux-gnu/release/vault}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
for who in AUTHOR COMMITTER; do export "GIT_${who}_NAME=tester" "GIT_${who}_EMAIL=t@example.org"; done
git init -q -b main
"$vault" --file small.vault init --machine --quiet >small.key
"$vault" --file large.vault init --machine --pages 4096 --quiet >large.key
values() { seq "$1" | awk '{ printf "NAME_%06d=value-%06d-of-the-entry-with-32-bytes\n", $1, $1 }'; }
values 10000 >small
values 100000 >large
for size in small large; do
    VAULT_MACHINE_KEY_FILE=$size.key "$vault" --file $size.vault import $size --format dotenv --quiet
done
git add -A ./*.vault .gitattributes
git commit -q -m first
export VAULT_MACHINE_KEY_FILE=large.key
printf changed | "$vault" --file large.vault set NAME_050000 --quiet
git commit -q -a -m second
measure() {
    what=$1
    shift
    for run in 0 1 2 3 4 5 6 7; do
        LC_ALL=C bash -c 'TIMEFORMAT="'"$what"': clock %R s, processor %U + %S s"; time "$@" >/dev/null' bash "$@" 2>line
        [ "$run" -eq 0 ] || cat line
    done
}
measure "check --no-key, 10,000 entries" "$vault" --file small.vault check --no-key
measure "diff, 100,000 entries, one changed" "$vault" --file large.vault diff HEAD~1 HEAD
