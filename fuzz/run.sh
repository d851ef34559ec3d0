#!/bin/sh
# Fuzzes every target for SECONDS each (10 if not given), or only those that are named after it: fuzz/run.sh 60 page seal
# Needs a nightly compiler. cargo-fuzz is installed when it is missing; with it there, nothing is fetched but new dependencies.
set -eu
cd "$(dirname "$0")"

seconds=${1:-10}
[ $# -eq 0 ] || shift
cargo +nightly fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
if [ $# -eq 0 ]; then
    for file in fuzz_targets/*.rs; do
        name=${file##*/}
        set -- "$@" "${name%.rs}"
    done
fi

# One build for all; each run then only starts.
cargo +nightly fuzz build --fuzz-dir . --sanitizer none
for target in "$@"; do
    echo "== $target"
    mkdir -p "corpus/$target"
    largest=16384
    [ "$target" != file ] || largest=65536
    # A vault of a few KiB that takes a second or half a GiB is a finding.
    cargo +nightly fuzz run --fuzz-dir . --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -max_len="$largest" -print_final_stats=1 -verbosity=0
done
