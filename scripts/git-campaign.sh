#!/bin/sh
# Many more random histories than a test run takes: merges by git, and keyed merges in memory. Prints the figures.
#   scripts/git-campaign.sh [HISTORIES]
set -eu
cd "$(dirname "$0")/.."
export VAULT_GIT_HISTORIES="${1:-1000}"
export VAULT_KEYED_HISTORIES="$((VAULT_GIT_HISTORIES * 5))"
# It builds the program, too: one history in four has it as git's merge driver.
exec cargo nextest run --workspace --no-capture -E 'test(/^git::(histories|keyed|rates)::/)'
