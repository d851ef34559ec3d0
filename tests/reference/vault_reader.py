"""A second reader of the vault file, written from docs/format.md alone: it verifies and opens everything, and says what is in it.

Sections named in messages are those of docs/format.md. It only reads; a writer for tests is in vault_writer.py.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import sys
import unicodedata

import argon2.exceptions
import argon2.low_level
import nacl.exceptions
import pyrage
import hybrid_age
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_open

from vault_shapes import ATTACHMENT_MAX, CHANGES, CHUNK, FILE_MAX, LINKS, META, PASSPHRASE_MAX, ROSTER, SECRETS, TRIED_KIB_MAX, TRIED_MAX
from vault_shapes import Denied, Refused, cbor, need
from vault_text import B64, KINDS, Vault, unbase64

LABELS = ("commitment", "name", "meta", "secret", "seal", "roster", "table")

# --- Keys and slots ------------------------------------------------------------------------------------------------------------------


def hmac256(key, message):
    return hmac.digest(key, message, "sha256")


def u32(number):
    return number.to_bytes(4)


def identity_of(text):
    try:
        hybrid = text.startswith("AGE-SECRET-KEY-PQ-")
        return hybrid_age.Identity.from_str(text) if hybrid else pyrage.x25519.Identity.from_str(text)
    except Exception:
        raise Denied("neither an X25519 nor a hybrid age identity") from None


def decrypt(file, identity):
    """The plaintext of a slot's age file; None if it does not open."""
    try:
        if isinstance(identity, hybrid_age.Identity):
            return hybrid_age.decrypt(file, identity)
        return pyrage.decrypt(file, [identity])
    except (pyrage.DecryptError, hybrid_age.NotOpened):
        return None


def unwrap(vault, identity):
    """The master key, out of the first slot of a known kind that has this identity's recipient."""
    for slot_id, slot in vault.slots.items():
        if slot["kind"] not in KINDS or slot["recipient"] != str(identity.to_public()):
            continue
        if not slot["key"].startswith(b"age-encryption.org/v1\n"):
            continue
        wrapped = decrypt(slot["key"], identity) or b""
        if len(wrapped) == 109 and wrapped[:77] == b"vault/1 slot\0" + vault.uuid + vault.commitment + slot_id:
            return wrapped[77:]
    raise Denied("no slot opened")


def affordable(slot):
    m, t, p = slot["m"], slot["t"], slot["p"]
    return 19_456 <= m <= 1_048_576 and 1 <= t <= 16 and 1 <= p <= 16 and m >= 8 * p and m * t <= 4_194_304


def unwrap_passphrase(vault, passphrase):
    if len(passphrase) > PASSPHRASE_MAX:
        raise Denied("the passphrase is too long")
    try:
        passphrase = unicodedata.normalize("NFC", passphrase.decode("utf-8")).encode()
    except UnicodeDecodeError:
        pass
    slots = [(slot_id, slot) for slot_id, slot in vault.slots.items() if "m" in slot and affordable(slot)]
    if len(slots) > TRIED_MAX or sum(slot["m"] for _, slot in slots) > TRIED_KIB_MAX:
        raise Denied("too many passphrase slots to try")
    for slot_id, slot in slots:
        key = argon2.low_level.hash_secret_raw(
            passphrase, slot["salt"], slot["t"], slot["m"], slot["p"], 32, argon2.low_level.Type.ID, version=0x13)
        place = b"".join([slot_id, slot["kind"].encode(), b"\0", slot["recipient"].encode(), b"\0",
                          u32(slot["m"]), u32(slot["t"]), u32(slot["p"]), slot["salt"]])
        if master_key := unwrap_sealed(vault, slot, key, place):
            return master_key
    raise Denied("no slot opened")


def unwrap_sealed(vault, slot, key, place):
    """With the identity that is sealed in the slot's line; None if it does not open."""
    try:
        text = aead(key, slot["identity"][:24], b"identity\0" + vault.uuid + place, slot["identity"][24:])
        identity = identity_of(text.decode("ascii", "replace"))
        return unwrap(vault, identity) if str(identity.to_public()) == slot["recipient"] else None
    except (nacl.exceptions.CryptoError, Denied):
        return None


def unwrap_keyring(vault, text):
    """With the key, in base64, that a keyring holds."""
    try:
        need(re.fullmatch(B64, text), "Key slots", "not a key of a keyring")
        key = unbase64(text, "Key slots")
    except Refused as error:
        raise Denied(str(error)) from None
    if len(key) != 32:
        raise Denied("not a key of a keyring")
    for slot_id, slot in vault.slots.items():
        if "store" in slot:
            place = b"".join([slot_id, b"keyring\0", slot["recipient"].encode(), b"\0", slot["store"].encode()])
            if master_key := unwrap_sealed(vault, slot, key, place):
                return master_key
    raise Denied("no slot opened")


def machine_key(vault, line):
    """The identity of a machine key, and the lowest generation it accepts."""
    prefix = "vault-machine-key-1:"
    try:
        need(re.fullmatch(re.escape(prefix) + B64, line), "Key slots", "not a machine key")
        data = unbase64(line[len(prefix) :], "Key slots")
        checksum = hashlib.sha256(prefix.encode() + data[:-4]).digest()[:4]
        need(len(data) > 60 and checksum == data[-4:], "Key slots", "machine key's checksum is wrong")
        identity = identity_of(data[56:-4].decode("ascii", "replace"))
    except Refused as error:
        raise Denied(str(error)) from None
    need(data[:16] == vault.uuid, "Key slots", "machine key is of another vault")
    need(data[16:48] == vault.commitment, "Key slots", "machine key is of another master key")
    return identity, int.from_bytes(data[48:56])


def aead(key, nonce, associated, sealed):
    if len(nonce) != 24 or len(sealed) < 16:
        raise nacl.exceptions.CryptoError("too short")
    return aead_open(sealed, associated, nonce, key)


def pad(n):
    if n <= 1024:
        return -(-n // 64) * 64
    e = n.bit_length() - 1
    unit = 1 << (e - e.bit_length())  # S = floor(log2 E) + 1 is the bit length of E
    return -(-n // unit) * unit


class Keys:
    """K[label], and what is sealed under it."""

    def __init__(self, vault, master_key):
        root = hmac256(vault.uuid + vault.salt, master_key)
        self.of = {label: hmac256(root, b"vault/1 " + label.encode() + b"\1") for label in LABELS}
        if not hmac.compare_digest(self.of["commitment"], vault.commitment):
            raise Denied("no slot opened")

    def open(self, section, label, place, sealed, shape):
        try:
            padded = aead(self.of[label], sealed[:24], label.encode() + b"\0" + place, sealed[24:])
        except nacl.exceptions.CryptoError:
            raise Refused(section, f"{label} does not open") from None
        length = int.from_bytes(padded[:4])
        need(4 <= len(padded) == pad(4 + length), "Sealing", "padded has the wrong size")
        need(not any(padded[4 + length :]), "Sealing", "padding is not zeros")
        item = cbor(padded[4 : 4 + length])
        try:
            shape(item)
        except ValueError as error:
            raise Refused(section, f"{label}: {error}") from None
        return item


# --- Verification and opening --------------------------------------------------------------------------------------------------------


def verify(vault, keys):
    """All of "When a file verifies": links by seal id, and the tips."""
    where = "When a file verifies"
    for place, (seal, tag) in vault.heads.items():
        kind = b"\0\0\0" if place == 0 else b"\1" + (place - 1).to_bytes(2)
        lines = "".join(vault.lines[place]).encode()
        need(hmac.compare_digest(hmac256(keys.of["table"], b"table\0" + kind + seal + lines), tag), where, f"tag of place {place} is wrong")
    links = {}
    for seal, line in vault.seals.items():
        links[seal] = link = keys.open("Log", "seal", seal + b"\0", line["links"], LINKS)
        numbers = [place[0] for place in link[4]]
        need(link[1] == seal, where, "inner id is not the line's")
        need(numbers[-1] <= vault.pages, "Log", "seal lists a page that the file does not have")
        need(next((number for number in numbers if number), 0) == line["section"], where, "seal is in the wrong section")
    need(sum(not link[2] for link in links.values()) == 1, where, "not exactly one seal without parents")
    members_of, named = {}, set()
    for seal, link in links.items():
        need(all(parent in links for parent in link[2]), where, "a parent is not in the log")
        need(not (link[2] and 5 in link), where, "a restart has parents")
        below = max((links[parent][3] for parent in link[2]), default=0)
        need(5 in link or link[3] == below + 1, where, "generation is not 1 + the largest of the parents'")
        named.update(link[2])
        for number, previous, tag in link[4]:
            members_of.setdefault(number, {})[seal] = (previous, tag)
    for place in range(vault.pages + 1):
        seals = members_of.get(place, {})
        if not seals:
            need(place not in vault.heads, where, f"place {place} has a head, but no seal lists it")
            continue
        for seal, (previous, _) in seals.items():
            need(all(one in seals for one in previous), where, "a previous does not list the place")
            need(all(links[one][3] < links[seal][3] for one in previous), where, "a previous has no lower generation")
        last = set(seals) - {one for previous, _ in seals.values() for one in previous}
        need(len(last) == 1, where, f"place {place} has several last seals")
        need(place in vault.heads, where, f"place {place} has no head, but a seal lists it")
        head, tag = vault.heads[place]
        need(head in last, where, f"head of place {place} does not name its last seal")
        need(seals[head][1] == tag, where, f"last seal of place {place} lists another tag")
    return links, set(links) - named


def open_entry(keys, entry_id, line):
    where = "Pages and entries"
    meta = keys.open(where, "meta", entry_id, line["meta"], META)
    secrets = keys.open(where, "secret", entry_id, line["secrets"], SECRETS)
    need(hmac256(keys.of["name"], meta[1].encode())[:16] == entry_id, where, "name does not give the entry's id")
    need((7 in meta) == (2 in secrets) and len(meta.get(7, [])) == len(secrets.get(2, [])), where, "not one map of values per alternative")
    used = {}

    def fields(infos, values):
        need({name for name, info in infos.items() if info} == set(values), where, "the two parts name different fields")
        return {name: info and describe(*info, values[name]) for name, info in infos.items()}

    def describe(kind, epoch, value):
        need((kind == 1) == (type(value) is list), where, "the two parts give a field different kinds")
        if kind == 1:
            need(used.setdefault(value[0], value) == value, where, "two values name one attachment with different keys or lengths")
            value = attachment(line["files"], *value)
        return dict(kind=["inline", "attachment"][kind], epoch=epoch, sha256=hashlib.sha256(value).hexdigest(), length=len(value))

    def alternative(info, values):
        known = dict(seal=info[1].hex(), name=info.get(2), attributes=info.get(3), removed=info.get(6))
        found = {key: value for key, value in known.items() if value is not None}
        found.update({"expires": info[5]} if 5 in info else {})
        shown = fields(info.get(4, {}), values)
        return {**found, **({"fields": shown} if shown else {})}

    entry = dict(attributes=meta.get(2, {}), created=meta[4], modified=meta[5])
    entry.update({"expires": meta[6]} if 6 in meta else {})
    entry["fields"] = fields(meta.get(3, {}), secrets.get(1, {}))
    entry["alternatives"] = [alternative(*pair) for pair in zip(meta.get(7, []), secrets.get(2, []))]
    need(set(used) == set(line["files"]), where, "attachments are not exactly the entry's file lines")
    return meta[1], entry


def attachment(files, blob, key, length):
    need(length <= ATTACHMENT_MAX, "Limits", "attachment is too long")
    need(blob in files, "Pages and entries", "an attachment has no file line")
    size = max(64, pad(length))
    need(len(files[blob]) == -(-size // CHUNK), "Pages and entries", "wrong number of chunks")
    chunks = []
    for index, sealed in enumerate(files[blob]):
        last = index == len(files[blob]) - 1
        try:
            chunks.append(aead(key, bytes(19) + u32(index) + bytes([last]), b"blob\0" + blob, sealed))
        except nacl.exceptions.CryptoError:
            raise Refused("Attachments", f"chunk {index} does not open") from None
        need(len(chunks[-1]) == (size - index * CHUNK if last else CHUNK), "Attachments", "chunk has the wrong length")
    value = b"".join(chunks)
    need(not any(value[length:]), "Attachments", "padding is not zeros")
    return value[:length]


def describe_seal(seal, generation, changes, parents=(), restart=False, carried=False):
    """One save. `carried`: its seal is gone, and a restart remembers what it said."""
    def entry_change(change):
        named = {2: "name", 3: "attributes", 4: "fields", 5: "to", 6: "expires"}
        return {"op": ["set", "remove", "rename", "resolve", "create"][change[1]], **{named[key]: change[key] for key in change if key > 1}}

    line = dict(id=seal.hex(), generation=generation, parents=[one.hex() for one in parents], restart=restart, carried=carried)
    line.update(time=changes[1], author=changes[2], **({"reason": changes[3]} if 3 in changes else {}))
    line["entries"] = [entry_change(change) for change in changes.get(4, [])]
    line["slots"] = [dict(op=["add", "remove", "rewrap", "relabel"][op], id=one.hex()) for op, one in changes.get(5, [])]
    return {**line, "replaces": [one.hex() for one in changes.get(6, [])]}


def read(data, passphrase=None, identity=None, machine=None, keyring=None):
    """Everything in the file, values as SHA-256. Raises Refused or Denied."""
    vault, lowest = Vault(data), 0
    if passphrase is not None:
        master_key = unwrap_passphrase(vault, passphrase)
    elif keyring is not None:
        master_key = unwrap_keyring(vault, keyring)
    else:
        identity, lowest = machine_key(vault, machine) if machine is not None else (identity_of(identity), 0)
        master_key = unwrap(vault, identity)
    keys = Keys(vault, master_key)
    links, tips = verify(vault, keys)
    generation = max(links[tip][3] for tip in tips)
    need(generation >= lowest, "Key slots", "the file's generation is lower than the machine key's")
    roster = keys.open("Roster", "roster", b"", vault.roster, ROSTER)
    need(set(roster[2]) == set(vault.slots), "Roster", "its ids are not exactly those of the slots")
    changes = {seal: keys.open("Log", "seal", seal + b"\1", line["changes"], CHANGES) for seal, line in vault.seals.items()}
    carried = [record[2] for each in changes.values() for record in each.get(7, [])]
    for change in (one for each in [*changes.values(), *carried] for one in each.get(4, [])):
        need((change[1] == 2) == (5 in change), "Log", "a new name and its rename do not come together")
    log = [describe_seal(seal, link[3], changes[seal], link[2], 5 in link) for seal, link in links.items()]
    log += [describe_seal(*record, carried=True) for each in changes.values() for record in each.get(7, [])]
    slots = [dict(id=one.hex(), **{key: slot[key] for key in ("kind", "label", "recipient")}) for one, slot in vault.slots.items()]
    return dict(
        uuid=vault.uuid.hex(), pages=vault.pages, generation=generation, tips=sorted(tip.hex() for tip in tips),
        seals=len(links), epoch=roster[1], slots=slots,
        entries=dict(open_entry(keys, *entry) for entry in vault.entries.items()),
        log=sorted(log, key=lambda line: (line["generation"], line["id"])))


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify a vault file, open everything in it, and print what it holds (values as SHA-256).")
    parser.add_argument("file")
    key = parser.add_mutually_exclusive_group(required=True)
    for option in ("--passphrase-file", "--identity", "--machine-key-file"):
        key.add_argument(option)
    parser.add_argument("--json", action="store_true", help="on one line")
    options = parser.parse_args(arguments)
    try:
        with open(options.passphrase_file or options.identity or options.machine_key_file, "rb") as file:
            secret = file.read().removesuffix(b"\n")
        with open(options.file, "rb") as file:
            need(os.fstat(file.fileno()).st_size <= FILE_MAX, "Limits", "file is too long")
            data = file.read(FILE_MAX + 1)
        lines = [line for line in secret.decode("ascii", "replace").splitlines() if line and not line.startswith("#")]
        text = lines[0] if lines else ""
        found = read(data, secret if options.passphrase_file else None, text, text if options.machine_key_file else None)
        print(json.dumps(found, sort_keys=True, indent=None if options.json else 2))
        return 0
    except Refused as error:
        print(f"vault_reader: refused: {error}", file=sys.stderr)
        return 6
    except Denied as error:
        print(f"vault_reader: denied: {error}", file=sys.stderr)
        return 5
    except (OSError, MemoryError, argon2.exceptions.HashingError) as error:
        print(f"vault_reader: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
