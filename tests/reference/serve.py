"""The reader as a server for the tests in Rust: a request in JSON on each line of stdin, an answer on each line of stdout.

Any other failure than a refusal ends the process, so that no crash of the reader passes for a refusal.
"""

import json
import sys

from vault_reader import Denied, Refused, read


def answer(request):
    with open(request["file"], "rb") as file:
        data = file.read()
    with open(request["key"], "rb") as file:
        key = file.read().removesuffix(b"\n")
    try:
        if request["how"] == "passphrase":
            found = read(data, passphrase=key)
        else:
            lines = [line for line in key.decode("ascii", "replace").splitlines() if line and not line.startswith("#")]
            line = lines[0] if lines else ""
            found = read(data, **{{"machine-key": "machine"}.get(request["how"], request["how"]): line})
        return {"outcome": "ok", "vault": found}
    except Refused as error:
        return {"outcome": "refused", "why": str(error)}
    except Denied as error:
        return {"outcome": "denied", "why": str(error)}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)), sort_keys=True), flush=True)


if __name__ == "__main__":
    main()
