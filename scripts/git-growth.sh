#!/bin/sh
# How much a repository grows by a commit of one changed entry, of 200, after git gc: the figures of docs/performance.md.
#   scripts/git-growth.sh [COMMITS]
set -eu
cd "$(dirname "$0")/.."
export VAULT_GROWTH_COMMITS="${1:-1000}"
exec cargo nextest run --workspace --no-capture -E 'test(/^gitread::growth::/)'
