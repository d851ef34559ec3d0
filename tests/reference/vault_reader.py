"""A second reader of the vault file, written from docs/format.md alone: it parses, verifies and opens everything, and says what is in it.

Sections named in messages are those of docs/format.md. It only reads; a writer for tests is in vault_writer.py.
"""

import argparse
import base64
import functools
import hashlib
import hmac
import json
import os
import re
import sys
import unicodedata

import argon2.low_level
import nacl.exceptions
import pyrage
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_open

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FILE_MAX, SHORT_LINE, LONG_LINE, SEAL_LINE = 4 * GIB, 16 * KIB, 96 * KIB, 16 * MIB
LINKS_MAX, ALL_LINKS_MAX = MIB, 64 * MIB
SLOTS_MAX, SEALS_MAX, PARENTS_MAX, REPLACES_MAX, ENTRIES_MAX = 64, 65_536, 1_024, 65_536, 2_000_000
NAME_MAX, TEXT_MAX, ATTRIBUTE_MAX, AUTHOR_MAX, REASON_MAX = 1_024, 128, 8_192, 256, 1_024
ATTRIBUTES_MAX, FIELDS_MAX, ALTERNATIVES_MAX, REMOVED_MAX = 256, 64, 64, 256
INLINE_MAX, ATTACHMENT_MAX, CHUNK, CHUNKS_MAX, AGE_FILE_MAX = 16_384, GIB, 49_152, 21_846, 8_192
PASSPHRASE_MAX, TRIED_MAX, TRIED_KIB_MAX = 4_096, 8, 6_291_456
DEPTH_MAX = 16  # no structure of the format is deeper than nine


class Refused(Exception):
    """The file is not one that a reader may use: the section that says so, and why."""

    def __init__(self, section, why):
        super().__init__(f"{section}: {why}")


class Denied(Exception):
    """No slot opened."""


def need(condition, section, why):
    if not condition:
        raise Refused(section, why)


# --- CBOR: RFC 8949 section 4.2.1 and nothing else -----------------------------------------------------------------------------------


def cbor(data):
    item, end = _item(data, 0, 0)
    need(end == len(data), "Sealing", "bytes follow the CBOR item")
    return item


def _item(data, at, depth):
    def take(count):
        nonlocal at
        need(count <= len(data) - at, "Conventions", "CBOR ends too early")
        at += count
        return data[at - count : at]

    need(depth < DEPTH_MAX, "Conventions", "CBOR is nested too deep")
    first = take(1)[0]
    major, short = first >> 5, first & 31
    if major == 7:
        need(first in (0xF4, 0xF5, 0xF6), "Conventions", "CBOR float, undefined or unknown simple value")
        return {0xF4: False, 0xF5: True, 0xF6: None}[first], at
    need(major not in (1, 6), "Conventions", "CBOR tag or negative integer")
    need(short < 28, "Conventions", "CBOR of indefinite length")
    count = short
    if short >= 24:
        count = int.from_bytes(take(1 << (short - 24)))
        need(count >= (24 if short == 24 else 1 << (4 << (short - 24))), "Conventions", "CBOR integer is not the shortest")
    if major == 0:
        return count, at
    if major == 2:
        return take(count), at
    if major == 3:
        try:
            return take(count).decode("utf-8"), at
        except UnicodeDecodeError:
            raise Refused("Conventions", "CBOR text is not UTF-8") from None
    if major == 4:
        items = []
        for _ in range(count):
            item, at = _item(data, at, depth + 1)
            items.append(item)
        return items, at
    pairs, last = {}, b""
    for _ in range(count):
        start = at
        key, at = _item(data, at, depth + 1)
        need(type(key) in (int, bytes, str), "Conventions", "CBOR map key of a kind that is not used")
        need(data[start:at] > last, "Conventions", "CBOR map keys are not ascending and distinct")
        last = data[start:at]
        pairs[key], at = _item(data, at, depth + 1)
    return pairs, at


# --- Shapes: the CDDL of the page, as checks that raise ValueError -------------------------------------------------------------------


def want(condition, why):
    if not condition:
        raise ValueError(why)


def uint(value):
    want(type(value) is int, "not an unsigned integer")


def tstr(low, high, nul=True):
    def check(value):
        want(type(value) is str, "not a text string")
        want(low <= len(value.encode()) <= high, "text is too short or too long")
        want(nul or "\0" not in value, "name contains U+0000")
    return check


def bstr(low, high):
    def check(value):
        want(type(value) is bytes, "not a byte string")
        want(low <= len(value) <= high, "byte string is too short or too long")
    return check


def exactly(*allowed):
    def check(value):
        want(any(type(value) is type(one) and value == one for one in allowed), "value is not one of those allowed")
    return check


def array(item, low=0, high=1 << 64, order=None):
    def check(value):
        want(type(value) is list, "not an array")
        want(low <= len(value) <= high, "array is too short or too long")
        for one in value:
            item(one)
        keys = [order(one) for one in value] if order else []
        want(all(a < b for a, b in zip(keys, keys[1:])), "array is not ascending and distinct")
    return check


def struct(*shapes):
    def check(value):
        want(type(value) is list and len(value) == len(shapes), "not an array of the right length")
        for shape, one in zip(shapes, value):
            shape(one)
    return check


def members(required, optional):
    def check(value):
        want(type(value) is dict, "not a map")
        want(value.keys() >= required.keys(), "a map member is missing")
        want(value.keys() <= {**required, **optional}.keys(), "unknown map member")
        for key, one in value.items():
            {**required, **optional}[key](one)
    return check


def table(key, item, low=1, high=1 << 64):
    def check(value):
        want(type(value) is dict, "not a map")
        want(low <= len(value) <= high, "map is too small or too large")
        for name, one in value.items():
            key(name)
            item(one)
    return check


def either(first, second, chooses):
    return lambda value: (first if chooses(value) else second)(value)


def or_null(shape):
    return lambda value: value is None or shape(value)


itself = lambda value: value
ID, HASH, NAME, TEXT, AUTHOR = bstr(16, 16), bstr(32, 32), tstr(1, NAME_MAX, nul=False), tstr(1, TEXT_MAX), tstr(0, AUTHOR_MAX)
IDS = functools.partial(array, ID, order=itself)
ROSTER = members(
    {1: uint, 2: table(ID, struct(uint, AUTHOR, uint))},
    {3: array(struct(ID, *[tstr(0, SHORT_LINE)] * 3, uint, AUTHOR, uint), 1, REMOVED_MAX)})
PLACE = struct(uint, IDS(0, PARENTS_MAX), HASH)
LINKS = members({1: ID, 2: IDS(0, PARENTS_MAX), 3: uint, 4: array(PLACE, 1, order=lambda place: place[0])}, {5: exactly(True)})
ENTRY_CHANGE = members({1: exactly(0, 1, 2, 3), 2: NAME}, {3: array(TEXT, 1), 4: array(TEXT, 1), 5: NAME, 6: exactly(True)})
CHANGED = {3: tstr(1, REASON_MAX), 4: array(ENTRY_CHANGE, 1), 5: array(struct(exactly(0, 1, 2, 3), ID), 1), 6: IDS(1, REPLACES_MAX)}
RECORD = struct(ID, uint, members({1: uint, 2: AUTHOR}, CHANGED))
CHANGES = members({1: uint, 2: AUTHOR}, {**CHANGED, 7: array(RECORD, 1, order=lambda record: (record[1], record[0]))})
INFO = struct(exactly(0, 1), uint)
ATTRIBUTE = tstr(0, ATTRIBUTE_MAX)
ALTERNATIVE = members({1: ID}, {
    2: NAME, 3: table(TEXT, or_null(ATTRIBUTE), 1, ATTRIBUTES_MAX), 4: table(TEXT, or_null(INFO), 1, FIELDS_MAX),
    5: or_null(uint), 6: exactly(True)})
META = members({1: NAME, 4: uint, 5: uint}, {
    2: table(TEXT, ATTRIBUTE, 1, ATTRIBUTES_MAX), 3: table(TEXT, INFO, 1, FIELDS_MAX), 6: uint,
    7: array(ALTERNATIVE, 1, ALTERNATIVES_MAX)})
VALUE = either(bstr(0, INLINE_MAX), struct(ID, HASH, uint), lambda value: type(value) is bytes)
SECRETS = members({}, {1: table(TEXT, VALUE, 1, FIELDS_MAX), 2: array(table(TEXT, VALUE, 0, FIELDS_MAX), 1, ALTERNATIVES_MAX)})


# --- The file as text: everything that needs no key ----------------------------------------------------------------------------------

ID16, ID32, B64, DEC = "([0-9a-f]{32})", "([0-9a-f]{64})", "([A-Za-z0-9+/]+)", "(0|[1-9][0-9]{0,9})"
FIELD = "[a-z][a-z0-9-]*=[!-~]+"
LINES = {kind: (re.compile(pattern), limit) for kind, pattern, limit in [
    ("first", "vault/1 (256|4096)", SHORT_LINE),
    ("id", f"id {ID16} {ID32} {ID32}", SHORT_LINE),
    ("head", f"head {ID16} {ID32}", SHORT_LINE),
    ("slot", f"slot {ID16} ([a-z][a-z0-9-]{{0,31}}) label=([A-Za-z0-9._@-]{{1,64}}) recipient=([!-~]+) key={B64}((?: {FIELD})*)", SHORT_LINE),
    ("roster", f"roster {B64}", LONG_LINE),
    ("seal", f"seal {ID16} {B64} {B64}", SEAL_LINE),
    ("entry", f"{ID16} {B64} {B64}", LONG_LINE),
    ("file", f"file {ID16} {ID16} {DEC}", LONG_LINE),
    ("blob", f"blob {ID16} {DEC} {B64}", LONG_LINE)]}
PASSPHRASE_FIELDS = re.compile(f" m={DEC} t={DEC} p={DEC} salt={B64} identity={B64}")
KINDS = {"age": False, "machine": False, "passphrase": True, "recovery": True}  # True: with PASSPHRASE_FIELDS


def unbase64(text, section):
    need(len(text) % 4 != 1, section, "base64 of an impossible length")
    data = base64.b64decode(text + "=" * (-len(text) % 4))
    need(base64.b64encode(data).decode().rstrip("=") == text, section, "base64 has unused bits that are not zero")
    return data


class Vault:
    """The parsed file: `slots`, `roster`, `heads` and `lines` by place number, `seals`, `entries`."""

    def __init__(self, data):
        need(len(data) <= FILE_MAX, "Limits", "file is too long")
        need(re.fullmatch(rb"[\n -~]*\n", data), "The file", "a byte that is not printable ASCII, or no newline at the end")
        self.rest, self.at = data.decode("ascii").split("\n")[:-1], 0
        self.slots, self.heads, self.lines, self.seals, self.entries = {}, {}, {}, {}, {}
        first = self.expect("first")
        self.pages = int(first[0])
        self.number = "{:0%dx}" % (2 if self.pages == 256 else 3)
        self.uuid, self.salt, self.commitment = map(bytes.fromhex, self.expect("id"))
        self.fixed("")
        self.slot_table()
        self.fixed("")
        self.log()
        self.fixed("")
        for page in range(self.pages):
            self.page(page)
        need(self.at == len(self.rest), "The file", f"line {self.at + 1}: nothing may follow the last page")

    def line(self):
        return self.rest[self.at] if self.at < len(self.rest) else None

    def fixed(self, text):
        need(self.line() == text, "The file", f"line {self.at + 1} is not {json.dumps(text)}")
        self.at += 1

    def find(self, kind):
        """The parts of the next line if it is of this kind, else None."""
        pattern, limit = LINES[kind]
        line = self.line()
        if line is None or not (line.startswith(kind + " ") or kind in ("first", "id", "entry")):
            return None
        need(len(line) + 1 <= limit or kind == "entry" and not re.match(ID16 + " ", line), "Limits", f"line {self.at + 1} is too long")
        found = pattern.fullmatch(line)
        self.at += bool(found)
        return found and found.groups()

    def expect(self, kind):
        found = self.find(kind)
        need(found, "The file", f"line {self.at + 1} is not a {kind} line")
        return found

    def head(self, place, found):
        self.heads[place] = tuple(map(bytes.fromhex, found))
        self.lines[place] = []

    def keep(self, place):
        self.lines[place].append(self.rest[self.at - 1] + "\n")

    def slot_table(self):
        self.fixed("slots")
        self.head(0, self.expect("head"))
        self.lines[0].append(self.rest[0] + "\n")
        last, labels = "", set()
        while found := self.find("slot"):
            slot, kind, label, recipient, key, further = found
            need(slot > last, "The file", "slots are not ascending and distinct")
            need(label not in labels, "Key slots", "two slots have the same label")
            need(len(self.slots) < SLOTS_MAX, "Limits", "too many slots")
            self.slots[bytes.fromhex(slot)] = dict(
                kind=kind, label=label, recipient=recipient, key=unbase64(key, "Key slots"), **self.further(kind, further))
            need(len(self.slots[bytes.fromhex(slot)]["key"]) <= AGE_FILE_MAX, "Limits", "age file of a slot is too long")
            last = slot
            labels.add(label)
            self.keep(0)
        need(self.slots, "The file", f"line {self.at + 1} is not a slot line")
        self.roster = unbase64(self.expect("roster")[0], "Roster")
        self.keep(0)

    def further(self, kind, text):
        if kind not in KINDS:
            return {}
        if not KINDS[kind]:
            need(not text, "Key slots", f"fields that a slot of kind {kind} does not have")
            return {}
        found = PASSPHRASE_FIELDS.fullmatch(text)
        need(found, "Key slots", "fields of a passphrase slot are not m, t, p, salt, identity")
        m, t, p = map(int, found.groups()[:3])
        salt, identity = (unbase64(one, "Key slots") for one in found.groups()[3:])
        need(len(salt) == 16, "Key slots", "salt is not 16 bytes")
        need(19_456 <= m <= 1_048_576 and 1 <= t <= 16 and 1 <= p <= 16, "Limits", "Argon2id parameters out of range")
        need(m >= 8 * p and m * t <= 4_194_304, "Limits", "Argon2id parameters out of range")
        return dict(m=m, t=t, p=p, salt=salt, identity=identity)

    def log(self):
        together = 0
        for section in ["slots", *map(self.number.format, range(self.pages))]:
            self.fixed("log " + section)
            last = ""
            while found := self.find("seal"):
                seal, links, changes = found
                together += len(links)
                need(seal > last, "The file", "seals are not ascending and distinct")
                need(bytes.fromhex(seal) not in self.seals, "Log", "two seals have the same id")
                need(len(links) <= LINKS_MAX and together <= ALL_LINKS_MAX, "Limits", "links are too long")
                need(len(self.seals) < SEALS_MAX, "Limits", "too many seals")
                number = 0 if section == "slots" else 1 + int(section, 16)
                self.seals[bytes.fromhex(seal)] = dict(section=number, links=unbase64(links, "Log"), changes=unbase64(changes, "Log"))
                last = seal

    def page(self, page):
        self.fixed("page " + self.number.format(page))
        if found := self.find("head"):
            self.head(1 + page, found)
        last = ""
        while found := self.find("entry"):
            entry, meta, secrets = found
            need(1 + page in self.heads, "The file", "a page with lines has no head")
            need(entry > last, "The file", "entries are not ascending and distinct")
            need(entry.startswith(self.number.format(page)), "Pages and entries", "entry is in another entry's page")
            need(len(self.entries) < ENTRIES_MAX, "Limits", "too many entries")
            self.keep(1 + page)
            meta, secrets = (unbase64(one, "Pages and entries") for one in (meta, secrets))
            self.entries[bytes.fromhex(entry)] = dict(meta=meta, secrets=secrets, files=self.files(page, entry))
            last = entry

    def files(self, page, entry):
        files, last = {}, ""
        while found := self.find("file"):
            owner, blob, chunks = found
            need(owner == entry, "Attachments", "file line names another entry")
            need(blob > last, "The file", "file lines are not ascending and distinct")
            need(1 <= int(chunks) <= CHUNKS_MAX, "Limits", "number of chunks out of range")
            self.keep(1 + page)
            files[bytes.fromhex(blob)] = []
            for index in range(int(chunks)):
                found = self.find("blob")
                need(found and found[:2] == (blob, str(index)), "Attachments", f"line {self.at} is not chunk {index} of its file")
                files[bytes.fromhex(blob)].append(unbase64(found[2], "Attachments"))
            last = blob
        return files


# --- Keys and slots ------------------------------------------------------------------------------------------------------------------


def hmac256(key, message):
    return hmac.digest(key, message, "sha256")


def u32(number):
    return number.to_bytes(4)


def identity_of(text):
    try:
        return pyrage.x25519.Identity.from_str(text)
    except Exception:
        raise Denied(f"not an X25519 age identity") from None


def unwrap(vault, identity):
    """The master key, out of the first slot of a known kind that has this identity's recipient."""
    for slot_id, slot in vault.slots.items():
        if slot["kind"] not in KINDS or slot["recipient"] != str(identity.to_public()):
            continue
        need(slot["key"].startswith(b"age-encryption.org/v1\n"), "Key slots", "key is not a binary age file")
        try:
            wrapped = pyrage.decrypt(slot["key"], [identity])
        except pyrage.DecryptError:
            continue
        if len(wrapped) == 109 and wrapped[:77] == b"vault/1 slot\0" + vault.uuid + vault.commitment + slot_id:
            return wrapped[77:]
    raise Denied("no slot opened")


def unwrap_passphrase(vault, passphrase):
    try:
        passphrase = unicodedata.normalize("NFC", passphrase.decode("utf-8")).encode()
    except UnicodeDecodeError:
        pass
    need(len(passphrase) <= PASSPHRASE_MAX, "Limits", "passphrase is too long")
    slots = [(slot_id, slot) for slot_id, slot in vault.slots.items() if KINDS.get(slot["kind"])]
    need(len(slots) <= TRIED_MAX and sum(slot["m"] for _, slot in slots) <= TRIED_KIB_MAX, "Limits", "too many passphrase slots to try")
    for slot_id, slot in slots:
        key = argon2.low_level.hash_secret_raw(
            passphrase, slot["salt"], slot["t"], slot["m"], slot["p"], 32, argon2.low_level.Type.ID, version=0x13)
        place = b"".join([slot_id, slot["kind"].encode(), b"\0", slot["recipient"].encode(), b"\0",
                          u32(slot["m"]), u32(slot["t"]), u32(slot["p"]), slot["salt"]])
        try:
            text = aead(key, slot["identity"][:24], b"identity\0" + vault.uuid + place, slot["identity"][24:])
        except nacl.exceptions.CryptoError:
            continue
        identity = identity_of(text.decode("ascii", "replace"))
        need(str(identity.to_public()) == slot["recipient"], "Key slots", "identity is not that of the slot's recipient")
        return unwrap(vault, identity)
    raise Denied("no slot opened")


def machine_key(vault, line):
    """The identity of a machine key, and the lowest generation it accepts."""
    prefix = "vault-machine-key-1:"
    need(re.fullmatch(re.escape(prefix) + B64, line), "Key slots", "not a machine key")
    data = unbase64(line[len(prefix) :], "Key slots")
    need(len(data) > 60 and hashlib.sha256(prefix.encode() + data[:-4]).digest()[:4] == data[-4:], "Key slots", "machine key's checksum is wrong")
    need(data[:16] == vault.uuid, "Key slots", "machine key is of another vault")
    need(data[16:48] == vault.commitment, "Key slots", "machine key is of another master key")
    return identity_of(data[56:-4].decode("ascii", "replace")), int.from_bytes(data[48:56])


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
        self.root = hmac256(vault.uuid + vault.salt, master_key)
        if not hmac.compare_digest(self["commitment"], vault.commitment):
            raise Denied("no slot opened")

    @functools.cache
    def __getitem__(self, label):
        return hmac256(self.root, b"vault/1 " + label.encode() + b"\1")

    def open(self, section, label, place, sealed, shape):
        try:
            padded = aead(self[label], sealed[:24], label.encode() + b"\0" + place, sealed[24:])
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
        need(hmac.compare_digest(hmac256(keys["table"], b"table\0" + kind + seal + lines), tag), where, f"tag of place {place} is wrong")
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
    need(hmac256(keys["name"], meta[1].encode())[:16] == entry_id, where, "name does not give the entry's id")
    need((7 in meta) == (2 in secrets) and len(meta.get(7, [])) == len(secrets.get(2, [])), where, "not one map of values per alternative")
    used = set()

    def fields(infos, values):
        need({name for name, info in infos.items() if info} == set(values), where, "the two parts name different fields")
        return {name: info and describe(*info, values[name]) for name, info in infos.items()}

    def describe(kind, epoch, value):
        need((kind == 1) == (type(value) is list), where, "the two parts give a field different kinds")
        if kind == 1:
            used.add(value[0])
            value = attachment(line["files"], *value)
        return dict(kind=["inline", "attachment"][kind], epoch=epoch, sha256=hashlib.sha256(value).hexdigest(), length=len(value))

    def alternative(info, values):
        known = dict(seal=info[1].hex(), name=info.get(2), attributes=info.get(3), removed=info.get(6))
        found = {key: value for key, value in known.items() if value is not None}
        found.update({"expires": info[5]} if 5 in info else {})
        shown = fields(info.get(4, {}), values)
        return {**found, **({"fields": shown} if shown else {})}

    entry = dict(id=entry_id.hex(), attributes=meta.get(2, {}), created=meta[4], modified=meta[5])
    entry.update({"expires": meta[6]} if 6 in meta else {})
    entry["fields"] = fields(meta.get(3, {}), secrets.get(1, {}))
    entry["alternatives"] = [alternative(*pair) for pair in zip(meta.get(7, []), secrets.get(2, []))]
    need(used == set(line["files"]), where, "attachments are not exactly the entry's file lines")
    return meta[1], entry


def attachment(files, blob, key, length):
    need(length <= ATTACHMENT_MAX, "Limits", "attachment is too long")
    need(blob in files, "Pages and entries", "an attachment has no file line")
    size = max(64, pad(length))
    need(len(files[blob]) == -(-size // CHUNK), "Pages and entries", "wrong number of chunks")
    value = b""
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


def describe_seal(seal, link, changes):
    def entry_change(change):
        named = {2: "name", 3: "attributes", 4: "fields", 5: "to", 6: "expires"}
        return {"op": ["set", "remove", "rename", "resolve"][change[1]], **{named[key]: change[key] for key in change if key > 1}}

    line = dict(id=seal.hex(), generation=link[3], parents=[one.hex() for one in link[2]], restart=5 in link)
    line.update(time=changes[1], author=changes[2], **({"reason": changes[3]} if 3 in changes else {}))
    line["entries"] = [entry_change(change) for change in changes.get(4, [])]
    line["slots"] = [dict(op=["add", "remove", "rewrap", "relabel"][op], id=one.hex()) for op, one in changes.get(5, [])]
    return {**line, "replaces": len(changes.get(6, [])), "records": len(changes.get(7, []))}


def read(data, passphrase=None, identity=None, machine=None):
    """Everything in the file, values as SHA-256. Raises Refused or Denied."""
    vault, lowest = Vault(data), 0
    if passphrase is not None:
        master_key = unwrap_passphrase(vault, passphrase)
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
    for change in (one for each in changes.values() for one in each.get(4, [])):
        need((change[1] == 2) == (5 in change), "Log", "a new name and its rename do not come together")
    shown = ("kind", "label", "recipient")
    return dict(
        uuid=vault.uuid.hex(), pages=vault.pages, generation=generation, tips=sorted(tip.hex() for tip in tips),
        seals=len(links), epoch=roster[1], slots=[dict(id=one.hex(), **{key: slot[key] for key in shown}) for one, slot in vault.slots.items()],
        entries=dict(open_entry(keys, *entry) for entry in vault.entries.items()),
        log=[describe_seal(seal, links[seal], changes[seal]) for seal in sorted(links, key=lambda one: (links[one][3], one))])


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
    except OSError as error:
        print(f"vault_reader: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
