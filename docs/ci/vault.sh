#!/bin/sh
# A CI job for a repository with a vault, for the shell of any forge. docs/ci.md says what it does.
set -eu

# Without a key, on every push and on every proposed change: form, slots and rules. Nothing is asked, nothing unlocked.
vault check --no-key --no-input

# What changed since the branch was made: entries are ids here, as there is no key.
if [ -n "${BASE:-}" ]; then
    vault diff --no-key "$BASE" HEAD
fi

# With the key, on protected branches alone, where the forge gives this job the machine key as a masked variable.
if [ -n "${VAULT_MACHINE_KEY:-}" ]; then
    # --need-key: a key that was taken away, or misspelt, is no reason to pass. --strict: nor is an entry in conflict.
    vault check --need-key --strict --no-input
    vault scan --no-input
    # The program gets the value and not the key, and "***" stands in the job's log where it prints the value.
    vault run --no-input --mask --env DEPLOY_TOKEN=deploy/token -- "${DEPLOY:-./deploy.sh}"
fi
