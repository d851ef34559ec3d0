"""A writer of vault files for the tests of the reader: valid ones, and, through hooks `edit_*`, invalid ones that are well sealed.

Not for use with secrets: it keeps everything in plain memory. Written from docs/format.md alone.
"""

import base64
import copy
import hashlib
import hmac
import random

import argon2.low_level
import hybrid_age
import pyrage
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as aead_seal

CHUNK = 49_152


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def hmac256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def head_of(major, count):
    if count < 24:
        return bytes([major << 5 | count])
    width = next(width for width in (1, 2, 4, 8) if count < 1 << 8 * width)
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + count.to_bytes(width)


def cbor(item):
    if item is None or isinstance(item, bool):
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[item]
    if isinstance(item, int):
        return head_of(0, item)
    if isinstance(item, bytes):
        return head_of(2, len(item)) + item
    if isinstance(item, str):
        return head_of(3, len(item.encode())) + item.encode()
    if isinstance(item, (list, tuple)):
        return head_of(4, len(item)) + b"".join(map(cbor, item))
    return head_of(5, len(item)) + b"".join(key + value for key, value in sorted((cbor(k), cbor(v)) for k, v in item.items()))


def pad(n):
    if n <= 1024:
        return (n + 63) // 64 * 64
    e = s = 0
    while n >> (e + 1):
        e += 1
    while e >> (s + 1):
        s += 1
    step = 2 ** (e - (s + 1))
    return (n + step - 1) // step * step


def same(thing):
    return thing


def encrypted(plain, identity):
    """An age file for one recipient."""
    if isinstance(identity, hybrid_age.Identity):
        return hybrid_age.encrypt(plain, identity.to_public())
    return pyrage.encrypt(plain, [identity.to_public()])


class Writer:
    """A vault in the making: `entries[page][entry id]` are lines, `seals[seal id]` section and line, `heads[place]` seal id and tag."""

    def __init__(self, pages=256, seed=1):
        self.random = random.Random(seed)
        self.pages, self.digits = pages, 2 if pages == 256 else 3
        self.uuid, self.time, self.epoch = self.bytes(16), 1_700_000_000, 0
        self.slots, self.added, self.removed, self.identities = {}, {}, [], {}
        self.entries, self.heads, self.seals, self.plain = {}, {}, {}, {}
        self.new_master_key()

    def bytes(self, count):
        return self.random.randbytes(count)

    def new_master_key(self):
        self.salt, self.master_key = self.bytes(32), self.bytes(32)
        self.root = hmac256(self.uuid + self.salt, self.master_key)
        self.commitment = self.key("commitment")

    def key(self, label):
        return hmac256(self.root, b"vault/1 " + label.encode() + b"\x01")

    def sealed(self, label, place, item, edit_padded=same, edit_cbor=same):
        plain = edit_cbor(cbor(item))
        padded = len(plain).to_bytes(4) + plain
        padded = edit_padded(padded + bytes(pad(len(padded)) - len(padded)))
        nonce = self.bytes(24)
        return b64(nonce + aead_seal(padded, label.encode() + b"\0" + place, nonce, self.key(label)))

    # Slots

    def add_slot(self, label, kind="age", passphrase=None, slot_id=None, edit_wrapped=same, m=19_456, t=1, p=1,
                 identity_inside=None, further="", hybrid=False, keyring=None, store="keyutils"):
        slot_id = slot_id or self.bytes(16)
        new = hybrid_age.Identity if hybrid else pyrage.x25519.Identity
        identity = self.identities.get(slot_id) or new.generate()
        recipient = str(identity.to_public())
        wrapped = edit_wrapped(b"vault/1 slot\0" + self.uuid + self.commitment + slot_id + self.master_key)
        age = encrypted(wrapped, identity)
        if keyring is not None:
            nonce = self.bytes(24)
            place = b"identity\0" + self.uuid + slot_id + b"keyring\0" + recipient.encode() + b"\0" + store.encode()
            inside = nonce + aead_seal(str(identity_inside or identity).encode(), place, nonce, keyring)
            further = f" store={store} identity={b64(inside)}"
        if passphrase is not None:
            salt, nonce = self.bytes(16), self.bytes(24)
            key = argon2.low_level.hash_secret_raw(passphrase, salt, t, m, p, 32, argon2.low_level.Type.ID, version=19)
            place = (b"identity\0" + self.uuid + slot_id + kind.encode() + b"\0" + recipient.encode() + b"\0"
                     + m.to_bytes(4) + t.to_bytes(4) + p.to_bytes(4) + salt)
            inside = nonce + aead_seal(str(identity_inside or identity).encode(), place, nonce, key)
            further = f" m={m} t={t} p={p} salt={b64(salt)} identity={b64(inside)}"
        self.slots[slot_id] = [f"slot {slot_id.hex()} {kind} label={label} recipient={recipient} key=", age, further]
        self.added[slot_id] = [self.time, "ann", self.epoch]
        self.identities[slot_id] = identity
        return slot_id

    def wrap_again(self):
        for slot_id, slot in self.slots.items():
            wrapped = b"vault/1 slot\0" + self.uuid + self.commitment + slot_id + self.master_key
            slot[1] = encrypted(wrapped, self.identities[slot_id])

    def write_roster(self, edit=same, **edits):
        members = {1: self.epoch, 2: self.added, **({3: self.removed} if self.removed else {})}
        self.roster = "roster " + self.sealed("roster", b"", edit(members), **edits) + "\n"

    def machine_key(self, slot_id, generation):
        data = self.uuid + self.commitment + generation.to_bytes(8) + str(self.identities[slot_id]).encode()
        return "vault-machine-key-1:" + b64(data + hashlib.sha256(b"vault-machine-key-1:" + data).digest()[:4])

    # Entries

    def entry_id(self, name):
        return hmac256(self.key("name"), name.encode())[:16]

    def page_of(self, entry_id):
        return int(entry_id.hex()[: self.digits], 16)

    def attachment(self, value, edit_padded=same):
        """The value for `secrets`, and the `file` line's blob id and the chunks."""
        blob, key = self.bytes(16), self.bytes(32)
        padded = edit_padded(value + bytes(max(64, pad(len(value))) - len(value)))
        pieces = [padded[at : at + CHUNK] for at in range(0, len(padded), CHUNK)]
        nonces = [bytes(19) + i.to_bytes(4) + (b"\1" if i + 1 == len(pieces) else b"\0") for i in range(len(pieces))]
        chunks = [b64(aead_seal(piece, b"blob\0" + blob, nonce, key)) for piece, nonce in zip(pieces, nonces)]
        return [blob, key, len(value)], (blob, chunks)

    def set(self, name, fields, attributes=None, expires=None, alternatives=(), meta=None, secrets=None, entry_id=None, page=None,
            drop_blob=False, extra_blob=False, edit_padded=same, edit_cbor=same, edit_attachment=same):
        """Write an entry: fields are bytes (inline) or a list of one bytes (an attachment). Returns the place it changes."""
        entry_id = entry_id or self.entry_id(name)
        files, infos, values = [], {}, {}
        for field, value in fields.items():
            infos[field] = [int(isinstance(value, list)), self.epoch]
            values[field] = value
            if isinstance(value, list):
                values[field], written = self.attachment(value[0], edit_attachment)
                files.append(written)
        whole = {1: name, 4: self.time, 5: self.time}
        whole.update({2: attributes} if attributes else {})
        whole.update({3: infos} if infos else {})
        whole.update({6: expires} if expires is not None else {})
        whole.update({7: [alternative for alternative, _ in alternatives]} if alternatives else {})
        hidden = {**({1: values} if values else {}), **({2: [values for _, values in alternatives]} if alternatives else {})}
        if drop_blob:
            files.pop()
        if extra_blob:
            files.append(self.attachment(b"stray")[1])
        sealed_meta = self.sealed("meta", entry_id, (meta or same)(whole), edit_padded, edit_cbor)
        text = f"{entry_id.hex()} {sealed_meta} {self.sealed('secret', entry_id, (secrets or same)(hidden))}\n"
        lines = [(True, text)]
        for blob, chunks in sorted(files):
            lines.append((True, f"file {entry_id.hex()} {blob.hex()} {len(chunks)}\n"))
            lines += [(False, f"blob {blob.hex()} {index} {chunk}\n") for index, chunk in enumerate(chunks)]
        page = self.page_of(entry_id) if page is None else page
        self.entries.setdefault(page, {})[entry_id] = lines
        return 1 + page

    def remove(self, name):
        entry_id = self.entry_id(name)
        del self.entries[self.page_of(entry_id)][entry_id]
        return 1 + self.page_of(entry_id)

    # Seals

    def lines_of(self, place, tagged):
        if place == 0:
            first = [f"vault/1 {self.pages}\n"] if tagged else []
            return "".join(first + [head + b64(age) + tail + "\n" for _, (head, age, tail) in sorted(self.slots.items())] + [self.roster])
        entries = self.entries.get(place - 1, {})
        return "".join(text for _, lines in sorted(entries.items()) for counts, text in lines if counts or not tagged)

    def tag(self, place, seal_id):
        number = b"\0\0\0" if place == 0 else b"\1" + (place - 1).to_bytes(2)
        return hmac256(self.key("table"), b"table\0" + number + seal_id + self.lines_of(place, True).encode())

    def tips(self):
        return sorted(set(self.seals) - {parent for links in self.plain.values() for parent in links[2]})

    def last_seals(self, place):
        lists = {seal: {one[0]: one[1] for one in links[4]} for seal, links in self.plain.items()}
        named = {one for places in lists.values() for one in places.get(place, [])}
        return sorted(seal for seal, places in lists.items() if place in places and seal not in named)

    def commit(self, places, changes=None, reason=None, restart=False, edit_links=same, edit_changes=same, section=None, seal_id=None,
               dropped=None, links_edits=None, changes_edits=None):
        """Write one seal over these places; hooks see the plain structures before they are sealed."""
        seal_id = seal_id or self.bytes(16)
        places, parents = sorted(set(places)), [] if restart else self.tips()
        generation = 1 + max((self.plain[parent][3] for parent in parents), default=0)
        generation = dropped if restart else generation
        listed = [[place, [] if restart else self.last_seals(place), self.tag(place, seal_id)] for place in places]
        links = edit_links({1: seal_id, 2: parents, 3: generation, 4: listed, **({5: True} if restart else {})})
        self.time += 60
        written = edit_changes({1: self.time, 2: "ann", **({3: reason} if reason else {}), **(changes or {})})
        numbers = [place for place in places if place]
        section = section if section is not None else numbers[0] if numbers else 0
        parts = (self.sealed("seal", seal_id + b"\0", links, **(links_edits or {})),
                 self.sealed("seal", seal_id + b"\1", written, **(changes_edits or {})))
        if restart:
            self.seals, self.plain, self.heads = {}, {}, {}
        self.seals[seal_id] = (section, f"seal {seal_id.hex()} {parts[0]} {parts[1]}\n")
        self.plain[seal_id] = links
        for place in places:
            self.heads[place] = seal_id, self.tag(place, seal_id)
        return seal_id

    def fork(self):
        other = copy.copy(self)
        for name in ("slots", "added", "entries", "heads", "seals", "plain"):
            setattr(other, name, copy.deepcopy(getattr(self, name)) if name == "entries" else dict(getattr(self, name)))
        other.random = random.Random(self.random.random())
        return other

    def merge_text(self, other):
        """What a text merge does: the union of the logs; pages that only the other side changed are taken from it."""
        for place, head in other.heads.items():
            if head[0] not in self.seals:
                self.heads[place] = head
                self.entries[place - 1] = other.entries.get(place - 1, {})
        self.seals.update(other.seals)
        self.plain.update(other.plain)

    def restart(self, reason=None, more=None, **edits):
        """Compaction: one seal over everything; the others are dropped."""
        dropped = sorted(self.seals)
        highest = 1 + max(self.plain[tip][3] for tip in self.tips())
        places = [0] + [1 + page for page, entries in self.entries.items() if entries]
        return self.commit(places, {6: dropped, **(more or {})}, reason, restart=True, dropped=highest, **edits)

    def text(self):
        def head(place):
            return f"head {self.heads[place][0].hex()} {self.heads[place][1].hex()}\n" if place in self.heads else ""

        sections = [f"{number:0{self.digits}x}" for number in range(self.pages)]
        out = [f"vault/1 {self.pages}\nid {self.uuid.hex()} {self.salt.hex()} {self.commitment.hex()}\n\nslots\n"]
        out += [head(0), self.lines_of(0, False), "\n"]
        for place, name in enumerate(["slots"] + sections):
            out += [f"log {name}\n"] + [line for _, (section, line) in sorted(self.seals.items()) if section == place]
        out.append("\n")
        for page, name in enumerate(sections):
            out += [f"page {name}\n", head(1 + page), self.lines_of(1 + page, False)]
        return "".join(out).encode()
