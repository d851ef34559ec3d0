"""Makes the vectors: one folder a scenario, with the vault, what opens it, and what a reader must find.

Run: python make.py, with ../reference/requirements.txt installed. Vectors are made once and never changed: what is there
stays as it is, and only what is missing is made.

    vault                                     the file
    identity, machine-key, passphrase         what opens it; each must lead to the same outcome
    recovery                                  a recovery code
    expect.json                               {"outcome": "ok", "vault": …} | {"outcome": "refused" | "denied", "rule": …}

The vault of an "ok" is described as vault_reader.py describes it. "refused" is exit code 6, "denied" 5. `rule` is the section
of docs/format.md that is broken, and how.
"""

import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "reference"), str(HERE)]

from vault_reader import Denied, Refused, read  # noqa: E402

import denied, good, refused, sealed  # noqa: E401, E402, F401
from scenarios import SCENARIOS  # noqa: E402


def read_with(text, how, key):
    key = key.removesuffix(b"\n")
    lines = [line for line in key.decode("ascii", "replace").splitlines() if line and not line.startswith("#")]
    try:
        if how in ("passphrase", "recovery"):
            return "ok", read(text, passphrase=key)
        return "ok", read(text, **{{"identity": "identity", "machine-key": "machine"}[how]: lines[0]})
    except Refused as error:
        return "refused", str(error)
    except Denied as error:
        return "denied", str(error)


def write(name, outcome, rule, made):
    folder = HERE / name
    keys = {how: key if isinstance(key, bytes) else key.encode() for how, key in made.keys.items()}
    found = [read_with(made.text, how, key) for how, key in keys.items()]
    assert all(one == found[0] for one in found), (name, found)
    assert found[0][0] == outcome, (name, outcome, found[0])
    expect = {"outcome": outcome, **({"vault": found[0][1]} if outcome == "ok" else {"rule": rule})}
    # Under its name only when it is whole.
    unfinished = HERE / f".{name}"
    unfinished.mkdir()
    for path, data in {"vault": made.text, "expect.json": json.dumps(expect, indent=1, sort_keys=True).encode() + b"\n", **keys}.items():
        (unfinished / path).write_bytes(data)
    os.rename(unfinished, folder)
    return found[0]


def main():
    made = 0
    for name, (outcome, rule, make) in SCENARIOS.items():
        if not (HERE / name).exists():
            said = write(name, outcome, rule, make())
            made += 1
            if outcome != "ok":
                print(f"{name}: {said[1]}")
    print(f"{made} made, {len(SCENARIOS) - made} there already")


if __name__ == "__main__":
    main()
