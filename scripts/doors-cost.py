#!/usr/bin/env python3
"""What the keyring doors cost, beside gnome-keyring through SecretStorage and beside Python's keyring command.

Usage: scripts/doors-cost.py PROGRAM [ROUNDS]. PROGRAM is vault as releases are built. Needs what tests/setup.sh installs; takes
minutes. What is compared is measured in turns, one call of each after the other, so that whatever else the machine does hits
both. Ends with 1 if a target is missed.
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "doors"))
from desktop import desktop  # noqa: E402

PYTHON = ROOT / "target" / "doors-python" / "bin" / "python"
COMMAND = PYTHON.with_name("keyring")

# Opens a keyring, fills it if that is wanted, and does one call for each line; says how long it took.
WORKER = """
import importlib, sys, time
module, count, fill = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "fill"
ring = importlib.import_module(module).Keyring()
if fill:
    for number in range(count):
        ring.set_password("bench", "user-{}".format(number), "password-{}".format(number))
print("ready", flush=True)
for turn, line in enumerate(sys.stdin):
    user = "user-{}".format(turn * 7919 % count)
    start = time.perf_counter_ns()
    if line.strip() == "get":
        assert ring.get_password("bench", user)
    else:
        ring.set_password("bench", user, "password-{}".format(turn))
    print(time.perf_counter_ns() - start, flush=True)
"""

IMPORT = "import time; {} start = time.perf_counter_ns(); import vault_keyring; print(time.perf_counter_ns() - start)"


class Worker:
    def __init__(self, module, count, fill, env):
        arguments = [PYTHON, "-c", WORKER, module, str(count), "fill" if fill else ""]
        self.process = subprocess.Popen(arguments, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()) / 1e6

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run(*arguments, env, input=None):
    return subprocess.run(arguments, env=env, input=input, check=True, capture_output=True).stdout


@contextlib.contextmanager
def vault(program, count):
    """The environment of a vault with so many items, held by an agent of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "VAULT_FILE": str(path / "v.vault"),
            "VAULT_MACHINE_KEY_FILE": str(path / "key"),
            "PYTHONPATH": str(ROOT / "python"),
            "PYTHON_KEYRING_BACKEND": "vault_keyring.Keyring",
            "KEYRING_PROPERTY_PROGRAM": program,
        }
        (path / "key").write_bytes(run(program, "init", "--machine", env=env))
        items = {"keyring/bench/user-{}".format(number): "password-{}".format(number) for number in range(count)}
        run(program, "import", "-", "--format", "json", env=env, input=json.dumps(items).encode())
        run(program, "unlock", env=env)
        del env["VAULT_MACHINE_KEY_FILE"]
        try:
            yield env
        finally:
            run(program, "agent", "stop", env=env)


def turns(rounds, *calls):
    """The median of each, called in turns, after two turns that do not count."""
    taken = [[] for _ in calls]
    for turn in range(rounds + 2):
        for call, times in zip(calls, taken):
            time_taken = call()
            if turn >= 2:
                times.append(time_taken)
    return [statistics.median(times) for times in taken]


def timed(arguments, env):
    def call():
        start = time.perf_counter_ns()
        run(*arguments, env=env)
        return (time.perf_counter_ns() - start) / 1e6

    return call


def main():
    program, rounds = os.path.abspath(sys.argv[1]), int((sys.argv[2:] or [60])[0])
    rows, missed = [], []

    def compare(what, ours, theirs, target):
        rows.append((what, ours, theirs, ours / theirs, target))
        if ours / theirs > target:
            missed.append(what)

    with vault(program, 10_000) as large_env:
        large = Worker("vault_keyring", 10_000, False, large_env)
        for count in (10, 1_000):
            with tempfile.TemporaryDirectory() as home, desktop(pathlib.Path(home)) as desk, vault(program, count) as env:
                theirs = Worker("keyring.backends.SecretService", count, True, desk)
                ours = Worker("vault_keyring", count, False, env)
                for word, target in (("get", 0.25), ("set", 0.2)):
                    calls = [lambda one=one: one(word) for one in (ours, theirs, large)]
                    small, foreign, many = turns(rounds, *calls)
                    compare("`{}_password`, {:,} items / gnome-keyring".format(word, count), small, foreign, target)
                    compare("`{}_password`, 10,000 items / {:,} items".format(word, count), many, small, FLAT)
                if count == 10:
                    desk["PYTHON_KEYRING_BACKEND"] = "keyring.backends.SecretService.Keyring"
                    words = ["get", "bench", "user-3"]
                    command = timed([program, "keyring", *words], env)
                    small, foreign = turns(rounds, command, timed([COMMAND, *words], desk))
                    compare("`vault keyring get` / Python's `keyring get`", small, foreign, 1 / 30)
                for worker in (theirs, ours):
                    worker.close()
        for name, before, target in (("", "import keyring;", 15), (", and keyring", "", None)):
            script = [PYTHON, "-c", IMPORT.format(before)]
            [took] = turns(20, lambda: int(run(*script, env=large_env)) / 1e6)
            what = "first `import vault_keyring`" + name
            rows.append((what, took, None, None, target))
            if target and took > target:
                missed.append(what)
        large.close()

    print("| what | ms | against, ms | ratio | target |\n|---|---|---|---|---|")
    for what, ours, theirs, ratio, target in rows:
        if theirs is None:
            print("| {} | {:.2f} | | | {} |".format(what, ours, "≤ {} ms".format(target) if target else "–"))
        else:
            print("| {} | {:.2f} | {:.2f} | {:.3f} | ≤ {:.3f} |".format(what, ours, theirs, ratio, target))
    if missed:
        print("missed: " + "; ".join(missed), file=sys.stderr)
    return bool(missed)


# "Flat": as much as this more with 10,000 items.
FLAT = 1.5

if __name__ == "__main__":
    sys.exit(main())
