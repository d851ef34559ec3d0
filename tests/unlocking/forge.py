"""What a removed member can make: a vault under the master key of an old copy, whose log claims to have replaced the current one.

forge.py OLD CURRENT IDENTITY OUT: OLD is a copy from before the rotation, IDENTITY opened it, and of CURRENT only what everybody sees is read.
"""

import sys
import time

import pyrage

import vault_reader
import vault_writer
from vault_text import Vault


def main(old, current, identity, out):
    with open(identity) as file:
        secret = [line for line in file.read().splitlines() if line.startswith("AGE-SECRET-KEY")][0]
    with open(old, "rb") as file:
        vault = Vault(file.read())
    writer = vault_writer.Writer(vault.pages, seed=99)
    writer.uuid, writer.salt = vault.uuid, vault.salt
    writer.master_key = vault_reader.unwrap(vault, pyrage.x25519.Identity.from_str(secret))
    writer.root = vault_writer.hmac256(writer.uuid + writer.salt, writer.master_key)
    writer.commitment = writer.key("commitment")
    assert writer.commitment == vault.commitment
    writer.time = int(time.time())
    # The slots as they are in the old copy: they open for everybody who was there.
    lines = [line for line in vault.lines[0] if line.startswith("slot ")]
    for slot_id, line in zip(vault.slots, lines):
        head, rest = line.rstrip("\n").split(" key=", 1)
        _, space, further = rest.partition(" ")
        writer.slots[slot_id] = [head + " key=", vault.slots[slot_id]["key"], space + further]
        writer.added[slot_id] = [writer.time, "me", 0]
    writer.write_roster()
    page = writer.set("first", {"secret": b"forged"})
    with open(current) as file:
        replaced = sorted(bytes.fromhex(line.split()[1]) for line in file if line.startswith("seal "))
    writer.commit([0, page], {6: replaced}, restart=True, dropped=50)
    with open(out, "wb") as file:
        file.write(writer.text())


if __name__ == "__main__":
    main(*sys.argv[1:])
