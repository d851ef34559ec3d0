"""A vault with the item of service "merged" and user "u" in conflict, after a merge of two branches."""

import os
import shutil
import subprocess


def in_conflict(folder, program):
    sides = {}
    for name in ["base", "ours", "theirs"]:
        sides[name] = folder / (name + ".vault")
        shutil.copy(os.environ["VAULT_FILE"], sides[name])
    for name in ["ours", "theirs"]:
        command = [program, "--file", sides[name], "keyring", "set", "merged", "u"]
        subprocess.run(command, input=name.encode(), check=True)
    path = folder / "merged.vault"
    done = subprocess.run([program, "merge", *sides.values(), "-o", path], capture_output=True)
    assert done.returncode == 7 and path.exists(), done.stderr
    return path
