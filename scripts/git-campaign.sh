#!/bin/sh
# Many more random histories than a test run takes: merges by git, and keyed merges in memory. Prints the figures.
#   scripts/git-campaign.sh [HISTORIES]
set -eu
cd "$(dirname "$0")/.."
export VAULT_GIT_HISTORIES="${1:-1000}"
export VAULT_KEYED_HISTORIES="$((VAULT_GIT_HISTORIES * 5))"
cargo build --workspace --bins # one history in four has the program as git's merge driver
exec cargo test -p vault-tests --test all -- --nocapture --test-threads 1 git::histories git::keyed git::rates
