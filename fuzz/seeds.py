"""Makes the seeds of every target, from the vectors and from the writer in Python. Run: python seeds.py, with
../tests/reference/requirements.txt installed. They are kept in the repository: fuzzing needs no Python.
"""

import hashlib
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "reference"))

from vault_writer import Writer, cbor, hmac256  # noqa: E402

LARGEST = 24_000


def keep(target, data):
    if len(data) <= LARGEST:
        folder = HERE / "seeds" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def two(first, second):
    return len(first).to_bytes(2) + first + second


def writer():
    """A vault with the keys of the harness, src/lib.rs."""
    vault = Writer()
    vault.uuid, vault.salt, vault.master_key = b"\1" * 16, b"\2" * 32, b"\t" * 32
    vault.root = hmac256(vault.uuid + vault.salt, vault.master_key)
    vault.commitment = vault.key("commitment")
    state, slot = 7, []
    for _ in range(16):
        state = (state * 5 + 1) % 256
        slot.append(state)
    vault.ann = vault.add_slot("me", slot_id=bytes(slot))
    vault.write_roster()
    vault.commit([0], {5: [[0, vault.ann]]})
    return vault


def agent_messages():
    """Of docs/agent-protocol.md: every kind of request, and contents of replies."""
    vault, name = b"/home/me/secrets.vault", "github/token"
    facts = {1: 57, 2: 12, 3: 1, 4: "me", 5: 58, 6: 1}
    meta = cbor({1: name, 2: {"url": "u"}, 3: {"secret": [0, 0]}, 4: 1, 5: 2, 6: 3})
    changes = [
        [0, {1: name, 2: {"pin": None, "secret": b"s", "file": 3}, 3: {"bb": None, "url": "u"}, 4: None, 5: [0]}],
        [0, {1: name, 4: 9, 5: [1, "secret"]}],
        [0, {1: name, 2: {"secret": b""}, 5: [2, "secret", b"was"]}],
        [1, name], [2, name, "other"], [3, name, "other"], [4, name, 1], [4, name, None],
    ]
    unlock = {1: vault, 2: [[0, b"correct horse"], [1, b"AGE-SECRET-KEY-1\n"], [2, b"vault-machine-key"], [3, b"code"]],
              3: 28800, 4: 600, 5: "me", 6: 1 << 20, 7: True}
    requests = [
        [0, {1: [1, 2], 2: "vault 0.1.0"}], [1, {}], [2, unlock], [2, {1: vault, 2: [[0, b"x"]]}], [3, {}], [3, {1: vault}], [4, {}],
        [5, {1: vault}], [6, {1: vault, 2: 7, 3: name, 4: "secret"}], [7, {1: vault, 3: name}], [8, {1: vault, 2: 7}],
        [9, {1: vault, 3: {"service": "x", "username": "me"}, 4: ["url"]}], [10, {1: vault, 2: 7, 3: [name, "other"]}], [10, {1: vault}],
        [11, {1: vault, 2: "ann", 3: changes}], [11, {1: vault, 2: "ann"}], [12, {1: changes}], [13, {1: vault, 2: 1 << 30}],
        [14, {1: b"part"}], [14, {1: b""}], [15, {1: 3}], [16, {1: 3, 2: 7}], [17, {1: vault}], [18, {1: vault, 2: b"/tmp/older.vault"}],
        [19, {1: vault, 2: "ann", 3: 4096}], [20, {1: vault}], [21, {1: vault, 2: 7, 3: name, 4: 0, 5: "secret"}],
        [22, {1: vault, 2: 7, 3: 8}], [23, {1: vault, 2: "ann", 3: 7, 4: 8}], [23, {1: vault, 2: "ann", 3: 7, 4: 8, 5: 9}],
        [24, {1: vault, 2: "ann", 3: 7, 4: 8, 5: 9, 6: "pick 0123456789ab"}], [24, {1: vault, 2: "", 3: 7, 4: 8, 5: 9, 6: "x", 7: True}],
        [25, {1: vault, 2: 7, 3: 8}], [26, {1: vault, 2: 7}], [40, {}],
    ]
    record = [b"\2" * 16, 2, [b"\1" * 16], False, True, cbor({1: 1, 2: "ann", 4: [{1: 0, 2: name, 4: ["secret"]}]})]
    results = [
        {1: 1, 2: "vault 0.1.0", 3: 4242}, {1: "vault 0.1.0", 2: 4242, 3: 2, 4: [{1: vault, 2: facts, 3: 3600, 4: 60}], 5: 2}, facts, {},
        {1: meta, 2: b"s"}, {1: meta, 2: [3, 700_000]}, {1: [meta, meta]}, {1: [[meta, {"file": [70_000], "secret": b"s"}]]},
        {1: [0, 1], 2: 58}, {1: 3, 2: 700_000}, {1: b"part"}, {1: 7, 2: facts}, {1: 100, 2: 1, 3: 57, 4: 300_000},
        {1: [{1: name, 2: 2, 3: "old", 4: {"pin": 0, "secret": 2}, 5: {"url": 1}, 6: 0, 7: 1}, {1: "z", 2: 1}]},
        {1: b"vault/1 "}, {2: [name, "other"]}, {3: [name]}, {1: 7, 2: facts, 3: True, 4: True}, {1: 7, 2: facts}, {1: True}, {1: False},
        {1: [[b"\2" * 16, "me"]]}, {1: b"".join(cbor(record) for _ in range(2))}, {1: 1, 99: [None, "not known"]},
    ]
    error = {1: "agent-locked", 2: 4, 3: "the agent does not hold this vault", 4: ["vault unlock"], 5: ["why"], 6: ["first", "second"]}
    replies = [[kind, result] for result in results for kind in (0, 2)] + [[1, error], [1, {1: "x", 2: 1, 3: ""}]]
    for message in requests + replies:
        keep("agent", cbor(message))
    first = cbor(requests[0])
    keep("agent", len(first).to_bytes(4) + first)
    keep("agent", cbor(record) + cbor(record))


def pins(vault):
    """What a machine remembers: vaults, branches, slots. The harness's vault has one seal, b"\\1" * 16."""
    this, other = (f"{vault.uuid.hex()}:{key.hex()}" for key in (vault.commitment, b"\3" * 32))
    root, seal, slot, prints = ((byte * 16).hex() for byte in (b"\1", b"\2", b"\4", b"\5"))
    files = [
        [],
        [f"id {this} 1700000000 0"],
        [f"id {this} 1 0", f"branch main {this} 1 1 2 {root} joined"],
        [f"id {this} 1 0", f"branch main {this} 7 1 2 {root},{seal} apart", f"branch - {this} 1 1 2 {root} joined"],
        [f"id {this} 1 0", f"id {other} 2 1", f"branch feature/a%20b {other} 3 1 2 {seal} joined"],
        [f"id {other} 1 4", f"slot {slot} machine ci {prints} there", f"slot {seal} age bob {prints},{root} gone"],
    ]
    for lines in files:
        keep("pins", "".join(f"{line}\n" for line in ["vault-pins 1", "path /home/me/secrets.vault", *lines]).encode())
    keep("pins", b"vault-pins 2\n")


def main():
    agent_messages()
    id16 = b"\2" * 16
    links = [
        {1: id16, 2: [b"\1" * 16], 3: 2, 4: [[0, [b"\1" * 16], b"t" * 32]]},
        {1: id16, 2: [b"\1" * 16], 3: 2, 4: [[7, [], b"t" * 32], [256, [b"\1" * 16, b"\3" * 16], b"t" * 32]]},
        {1: id16, 2: [], 3: 9, 4: [[0, [], b"t" * 32]], 5: True},
    ]
    changes = [
        {1: 1, 2: "ann"},
        {1: 1, 2: "ann", 3: "why", 4: [{1: 0, 2: "n", 3: ["a", "b"], 4: ["secret"], 6: True}, {1: 2, 2: "n", 5: "m"}, {1: 3, 2: "m"}, {1: 1, 2: "m"}]},
        {1: 1, 2: "ann", 5: [[0, id16], [3, id16]], 6: [b"\0" * 16, id16], 7: [[id16, 3, {1: 1, 2: "", 6: [id16]}]]},
    ]
    for link in links:
        for change in changes:
            keep("seal", two(cbor(link), cbor(change)))
    attachment = [b"b" * 16, b"k" * 32, 70]
    entries = [
        ({1: "x", 4: 1, 5: 2}, {}),
        ({1: "seed", 2: {"url": "u", "bb": ""}, 3: {"pin": [0, 1], "secret": [0, 0]}, 4: 1, 5: 2, 6: 3}, {1: {"pin": b"", "secret": b"s"}}),
        ({1: "seed", 3: {"file": [1, 0]}, 4: 1, 5: 2}, {1: {"file": attachment}}),
        ({1: "seed", 3: {"secret": [0, 0]}, 4: 1, 5: 2, 7: [{1: id16, 2: "y", 3: {"url": None, "w": "z"}, 4: {"pin": None, "secret": [0, 0]}, 5: None},
                                                            {1: id16, 6: True}]}, {1: {"secret": b"s"}, 2: [{"secret": b"t"}, {}]}),
    ]
    for meta, secrets in entries:
        keep("entry", two(cbor(meta), cbor(secrets)))
    vault = writer()
    pins(vault)
    members = {1: 0, 2: vault.added}
    for roster in (members, {**members, 1: 1 << 40, 3: [[id16, "age", "bob", "age1bob", 5, "ann", 0]]}):
        keep("roster", cbor(roster))
    keep("machine_key", vault.machine_key(vault.ann, 3).encode())
    keep("machine_key", b"# a comment\n" + str(vault.identities[vault.ann]).encode() + b"\n")

    vault.commit([vault.set("seed", {"secret": b"s"}, {"url": "u"}, 9)], {4: [{1: 0, 2: "seed"}]})
    page = vault.page_of(vault.entry_id("seed"))
    keep("page", vault.lines_of(1 + page, False).encode())
    keep("file", vault.text())
    vault.commit([vault.set("seed", {"secret": b"s", "file": [b"x" * 70], "more": [b"y"]})])
    keep("page", vault.lines_of(1 + page, False).encode())
    other = next(f"n{n}" for n in range(10_000) if vault.page_of(vault.entry_id(f"n{n}")) == page)
    vault.commit([vault.set(other, {"secret": b"2"})])
    keep("page", vault.lines_of(1 + page, False).encode())
    vault.restart()
    keep("file", vault.text())

    for folder in sorted((HERE.parent / "tests" / "vectors").glob("*/")):
        text = (folder / "vault").read_bytes()
        if folder.name.startswith(("good", "text", "slot")) and b"vault/1 256\n" in text:
            if folder.name in ("good-slots-of-every-kind", "good-two-tips", "good-conflict-of-everything", "text-merged-without-key",
                               "good-attachments-of-one-entry", "good-compacted"):
                keep("file", text)
            if folder.name.startswith("good"):
                # Up to the seals of `log slots`: the target puts the other sections after it.
                keep("front", text[: text.index(b"log 00\n")])
            for line in text.split(b"\n"):
                if line.startswith(b"slot ") and folder.name in ("good-slots-of-every-kind", "good-slot-kind-unknown", "good-slot-too-costly-beside"):
                    keep("slot", line)


if __name__ == "__main__":
    main()
