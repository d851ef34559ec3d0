"""The vault file as text: everything of docs/format.md that needs no key.

`Vault` parses the whole file or raises `Refused`; keys and content are left to vault_reader.py.
"""

import base64
import json
import re

from vault_shapes import AGE_FILE_MAX, ALL_LINKS_MAX, CHUNKS_MAX, ENTRIES_MAX, FILE_MAX, LINKS_MAX, LONG_LINE, SEALS_MAX, SEAL_LINE
from vault_shapes import SHORT_LINE, SLOTS_MAX, need

ID16, ID32, B64, DEC = "([0-9a-f]{32})", "([0-9a-f]{64})", "([A-Za-z0-9+/]+)", "(0|[1-9][0-9]{0,9})"
FIELD = "[a-z][a-z0-9-]*=[!-~]+"
LINES = {kind: (re.compile(starts), re.compile(starts + rest), limit) for kind, limit, starts, rest in [
    ("first", SHORT_LINE, "vault/1 ", "(256|4096)"),
    ("id", SHORT_LINE, "id ", f"{ID16} {ID32} {ID32}"),
    ("head", SHORT_LINE, "head ", f"{ID16} {ID32}"),
    ("slot", SHORT_LINE, "slot ",
     f"{ID16} ([a-z][a-z0-9-]{{0,31}}) label=([A-Za-z0-9._@-]{{1,64}}) recipient=([!-~]+) key={B64}((?: {FIELD})*)"),
    ("roster", LONG_LINE, "roster ", B64),
    ("seal", SEAL_LINE, "seal ", f"{ID16} {B64} {B64}"),
    ("entry", LONG_LINE, f"{ID16} ", f"{B64} {B64}"),
    ("file", LONG_LINE, "file ", f"{ID16} {ID16} {DEC}"),
    ("blob", LONG_LINE, "blob ", f"{ID16} {DEC} {B64}")]}
PASSPHRASE_FIELDS = re.compile(f" m={DEC} t={DEC} p={DEC} salt={B64} identity={B64}")
KEYRING_FIELDS = re.compile(f" store=([a-z][a-z0-9-]{{0,31}}) identity={B64}")
KINDS = {"age": None, "machine": None, "passphrase": PASSPHRASE_FIELDS, "recovery": PASSPHRASE_FIELDS, "keyring": KEYRING_FIELDS}


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
        """The parts of the next line if it starts as this kind does, else None."""
        starts, pattern, limit = LINES[kind]
        line = self.line()
        if line is None or not starts.match(line):
            return None
        need(len(line) < limit, "Limits", f"line {self.at + 1} is too long")
        found = pattern.fullmatch(line)
        need(found, "The file", f"line {self.at + 1} is not a {kind} line as it should be")
        self.at += 1
        return found.groups()

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
        found = KINDS[kind].fullmatch(text)
        if kind == "keyring":
            need(found, "Key slots", "fields of a keyring slot are not store, identity")
            return dict(store=found[1], identity=unbase64(found[2], "Key slots"))
        need(found, "Key slots", "fields of a passphrase slot are not m, t, p, salt, identity")
        m, t, p = map(int, found.groups()[:3])
        salt, identity = (unbase64(one, "Key slots") for one in found.groups()[3:])
        need(len(salt) == 16, "Key slots", "salt is not 16 bytes")
        need(max(m, t, p) < 1 << 32, "Key slots", "a number of a passphrase slot is over 32 bits")
        return dict(m=m, t=t, p=p, salt=salt, identity=identity)

    def log(self):
        together = 0
        for section in ["slots", *map(self.number.format, range(self.pages))]:
            self.fixed("log " + section)
            last = ""
            while found := self.find("seal"):
                seal, links, changes = found
                links, changes = unbase64(links, "Log"), unbase64(changes, "Log")
                together += len(links)
                need(seal > last, "The file", "seals are not ascending and distinct")
                need(bytes.fromhex(seal) not in self.seals, "Log", "two seals have the same id")
                need(len(links) <= LINKS_MAX and together <= ALL_LINKS_MAX, "Limits", "links are too long")
                need(len(self.seals) < SEALS_MAX, "Limits", "too many seals")
                number = 0 if section == "slots" else 1 + int(section, 16)
                self.seals[bytes.fromhex(seal)] = dict(section=number, links=links, changes=changes)
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
