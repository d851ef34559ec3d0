"""The reader against the writer: what is valid opens, and each MUST of docs/format.md that is broken is refused for that reason.

Run: python -m unittest, in this folder, with requirements.txt installed.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import tempfile
import unicodedata
import unittest
from unittest import mock

import pyrage

import vault_reader
import vault_text
from vault_reader import Denied, Refused, read
from vault_shapes import cbor as decode
from vault_writer import Writer, cbor, pad

SECRET = b"correct horse"


def basic(pages=256, seed=1, **slot):
    """One slot `ann`, two entries, one of them with an attachment of one chunk, in three seals."""
    vault = Writer(pages, seed)
    vault.ann = vault.add_slot("ann", **slot)
    vault.write_roster()
    vault.commit([0], {5: [[0, vault.ann]]})
    token = vault.set("github/token", {"secret": b"abc"}, {"url": "https://github.com"})
    vault.commit([token], {4: [{1: 0, 2: "github/token", 4: ["secret"]}]})
    vault.commit([vault.set("aws/key", {"secret": b"def", "file": [b"x" * 70]}, expires=5)], {4: [{1: 0, 2: "aws/key"}]}, reason="why")
    return vault


def opened(vault, **key):
    return read(vault.text(), **(key or {"identity": str(vault.identities[vault.ann])}))


def sha(value):
    return hashlib.sha256(value).hexdigest()


def replaced(old, new):
    """An edit of plaintext bytes that must find what it replaces."""
    def edit(data):
        assert data.count(old) == 1, (old, data)
        return data.replace(old, new)
    return edit


def member(key, value):
    return lambda members: {**members, key: value}


def place(edit):
    """An edit of links that changes the last listed place."""
    def apply(links):
        links = {**links, 4: [list(one) for one in links[4]]}
        edit(links[4][-1])
        return links
    return apply


class Valid(unittest.TestCase):
    def test_all_that_was_written_is_given_out(self):
        vault = basic()
        found = opened(vault)
        top = [found[key] for key in ("uuid", "pages", "generation", "seals", "epoch")]
        self.assertEqual(top, [vault.uuid.hex(), 256, 3, 3, 0])
        self.assertEqual(found["tips"], [vault.tips()[0].hex()])
        recipient = str(vault.identities[vault.ann].to_public())
        self.assertEqual(found["slots"], [{"id": vault.ann.hex(), "kind": "age", "label": "ann", "recipient": recipient}])
        self.assertEqual(sorted(found["entries"]), ["aws/key", "github/token"])
        entry = found["entries"]["aws/key"]
        self.assertEqual(entry["expires"], 5)
        self.assertEqual(entry["fields"], {
            "secret": {"kind": "inline", "epoch": 0, "sha256": sha(b"def"), "length": 3},
            "file": {"kind": "attachment", "epoch": 0, "sha256": sha(b"x" * 70), "length": 70}})
        self.assertEqual(found["entries"]["github/token"]["attributes"], {"url": "https://github.com"})
        self.assertEqual([line["generation"] for line in found["log"]], [1, 2, 3])
        self.assertEqual(found["log"][2]["reason"], "why")
        self.assertEqual(found["log"][1]["entries"], [{"op": "set", "name": "github/token", "fields": ["secret"]}])
        self.assertEqual(found["log"][0]["slots"], [{"op": "add", "id": vault.ann.hex()}])

    def test_every_size_of_value(self):
        for size in (0, 1, 63, 64, 1020, 1021, 16_384):
            vault = basic()
            vault.commit([vault.set("n", {"secret": b"v" * size})])
            self.assertEqual(opened(vault)["entries"]["n"]["fields"]["secret"]["length"], size)
        for size in (0, 1, 64, 49_151, 49_152, 49_153, 98_304, 500_000):
            vault = basic()
            vault.commit([vault.set("n", {"secret": [b"v" * size]})])
            self.assertEqual(opened(vault)["entries"]["n"]["fields"]["secret"]["sha256"], sha(b"v" * size))

    def test_pad_is_as_the_page_says(self):
        for n, padded in ((0, 0), (1, 64), (64, 64), (65, 128), (1024, 1024), (1025, 1088), (5000, 5120), (1 << 30, 1 << 30)):
            self.assertEqual((vault_reader.pad(n), pad(n)), (padded, padded))
        self.assertTrue(all(vault_reader.pad(n) == pad(n) for n in range(100_000)))
        self.assertTrue(all(pad(pad(n)) == pad(n) for n in range(100_000)))

    def test_4096_pages(self):
        self.assertEqual(opened(basic(4096))["pages"], 4096)

    def test_a_vault_without_entries(self):
        vault = Writer()
        vault.ann = vault.add_slot("ann")
        vault.write_roster()
        vault.commit([0])
        self.assertEqual(opened(vault)["entries"], {})

    def test_a_page_that_lost_its_last_entry_keeps_its_head(self):
        vault = basic()
        vault.commit([vault.remove("aws/key")], {4: [{1: 1, 2: "aws/key"}]})
        self.assertEqual(sorted(opened(vault)["entries"]), ["github/token"])

    def test_two_tips_and_the_seal_that_joins_them(self):
        ours = basic()
        theirs = ours.fork()
        ours.commit([ours.set("mail", {"secret": b"1"})])
        theirs.commit([theirs.set("bank", {"secret": b"2"})])
        self.assertNotEqual(ours.page_of(ours.entry_id("mail")), ours.page_of(ours.entry_id("bank")))
        ours.merge_text(theirs)
        found = opened(ours)
        self.assertEqual((len(found["tips"]), found["generation"], len(found["entries"])), (2, 4, 4))
        ours.commit([ours.set("mail", {"secret": b"3"})])
        found = opened(ours)
        self.assertEqual((len(found["tips"]), found["generation"], len(found["log"][-1]["parents"])), (1, 5, 2))

    def test_a_place_changed_on_both_sides_has_two_previous(self):
        ours = basic()
        theirs = ours.fork()
        ours.commit([ours.set("mail", {"secret": b"1"})])
        theirs.commit([theirs.set("mail", {"secret": b"2"})])
        tip = theirs.tips()[0]
        ours.merge_text(theirs)
        with self.assertRaisesRegex(Refused, "several last seals"):
            opened(ours)
        others = [({1: tip, 3: {"url": None}, 4: {"secret": [0, 0], "pin": None}, 5: None}, {"secret": b"2"}),
                  ({1: tip, 2: "other", 6: True}, {})]
        ours.commit([ours.set("mail", {"secret": b"1"}, alternatives=others)], {4: [{1: 3, 2: "mail"}]})
        alternatives = opened(ours)["entries"]["mail"]["alternatives"]
        self.assertEqual(alternatives, [
            {"seal": tip.hex(), "attributes": {"url": None}, "expires": None,
             "fields": {"pin": None, "secret": {"kind": "inline", "epoch": 0, "sha256": sha(b"2"), "length": 1}}},
            {"seal": tip.hex(), "name": "other", "removed": True}])

    def test_compaction_and_the_seals_after_it(self):
        vault = basic()
        dropped = sorted(vault.seals)
        vault.restart(more={7: [[dropped[0], 1, {1: 1, 2: "ann"}], [dropped[1], 2, {1: 2, 2: "ann", 4: [{1: 0, 2: "n"}]}]]})
        vault.commit([vault.set("mail", {"secret": b"1"})])
        first, second = opened(vault)["log"]
        self.assertEqual((first["restart"], first["generation"], first["replaces"], first["records"]), (True, 4, 3, 2))
        self.assertEqual((second["restart"], second["generation"]), (False, 5))

    def test_rotation_keeps_the_slots_and_their_identities(self):
        vault = basic()
        old = vault.machine_key(vault.ann, 1)
        vault.new_master_key()
        vault.wrap_again()
        vault.entries, vault.epoch = {}, 1
        vault.set("github/token", {"secret": b"new"})
        vault.write_roster()
        vault.restart()
        self.assertEqual((opened(vault)["epoch"], opened(vault)["entries"]["github/token"]["fields"]["secret"]["epoch"]), (1, 1))
        with self.assertRaisesRegex(Refused, "another master key"):
            opened(vault, machine=old)

    def test_removed_slots_in_the_roster(self):
        vault = basic()
        vault.removed.append([bytes(16), "age", "bob", "age1bob", 5, "ann", 0])
        vault.write_roster()
        vault.commit([0], {5: [[1, bytes(16)]]})
        self.assertEqual(opened(vault)["log"][3]["slots"], [{"op": "remove", "id": "00" * 16}])

    def test_slots_of_unknown_kinds_are_kept_and_skipped(self):
        vault = basic()
        other = vault.add_slot("new", kind="tpm2")
        vault.slots[other][2] = " pcrs=7,11 policy=a=b"
        vault.write_roster()
        vault.commit([0])
        self.assertEqual({slot["kind"] for slot in opened(vault)["slots"]}, {"age", "tpm2"})
        with self.assertRaises(Denied):
            opened(vault, identity=str(vault.identities[other]))


class Opening(unittest.TestCase):
    def vault(self, **slot):
        vault = basic()
        vault.phrase = vault.add_slot("phrase", **{"kind": "passphrase", "passphrase": SECRET, **slot})
        vault.write_roster()
        vault.commit([0], {5: [[0, vault.phrase]]})
        return vault

    def test_passphrase_and_recovery(self):
        for kind in ("passphrase", "recovery"):
            vault = self.vault(kind=kind, m=19_456 + 7, t=2, p=3)
            self.assertEqual(opened(vault, passphrase=SECRET), opened(vault))

    def test_wrong_passphrase_or_identity(self):
        vault = self.vault()
        with self.assertRaises(Denied):
            opened(vault, passphrase=SECRET + b"!")
        with self.assertRaises(Denied):
            opened(vault, identity=str(pyrage.x25519.Identity.generate()))

    def test_passphrase_is_normalised_to_nfc_if_it_is_utf8(self):
        vault = self.vault(passphrase="caf\u00e9".encode())
        opened(vault, passphrase=unicodedata.normalize("NFD", "caf\u00e9").encode())
        vault = self.vault(passphrase=b"\xff\xfe")
        opened(vault, passphrase=b"\xff\xfe")

    def test_passphrase_limits(self):
        vault = self.vault()
        with self.assertRaisesRegex(Refused, "passphrase is too long"):
            opened(vault, passphrase=b"p" * 4097)
        for number in range(8):
            vault.add_slot(f"p{number}", "passphrase", b"other")
        vault.write_roster()
        vault.commit([0])
        with self.assertRaisesRegex(Refused, "too many passphrase slots"):
            opened(vault, passphrase=SECRET)

    def test_argon2_parameters_out_of_range(self):
        for good, bad in (("m=19456", "m=19455"), ("m=19456", "m=1048577"), ("t=1", "t=0"), ("t=1", "t=17"), ("p=1", "p=0"),
                          ("p=1", "p=17"), ("m=19456 t=1", "m=1048576 t=5"), ("m=19456", "m=99999999999999999999"),
                          ("m=19456", "m=019456")):
            vault = self.vault()
            vault.slots[vault.phrase][2] = replaced(good, bad)(vault.slots[vault.phrase][2])
            vault.commit([0])
            with self.subTest(bad), self.assertRaisesRegex(Refused, "Argon2id parameters|fields of a passphrase slot"):
                opened(vault)

    def test_salt_of_another_length(self):
        vault = self.vault()
        vault.slots[vault.phrase][2] = vault.slots[vault.phrase][2].replace(" identity", "AAAA identity")
        vault.commit([0])
        with self.assertRaisesRegex(Refused, "salt is not 16 bytes"):
            opened(vault)

    def test_identity_inside_is_another(self):
        vault = self.vault(identity_inside=pyrage.x25519.Identity.generate())
        with self.assertRaisesRegex(Refused, "not that of the slot's recipient"):
            opened(vault, passphrase=SECRET)

    def test_every_part_of_the_wrapped_plaintext_counts(self):
        for at in (0, 12, 13, 29, 61):
            vault = basic(edit_wrapped=lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with self.subTest(at), self.assertRaisesRegex(Denied, "no slot opened"):
                opened(vault)
        for edit in (lambda data: data + b"\0", lambda data: data[:-1]):
            with self.assertRaisesRegex(Denied, "no slot opened"):
                opened(basic(edit_wrapped=edit))

    def test_another_master_key_than_the_header_commits_to(self):
        with self.assertRaisesRegex(Denied, "no slot opened"):
            opened(basic(edit_wrapped=lambda data: data[:-1] + bytes([data[-1] ^ 1])))

    def test_armored_age_file(self):
        vault = basic()
        wrapped = pyrage.decrypt(vault.slots[vault.ann][1], [vault.identities[vault.ann]])
        vault.slots[vault.ann][1] = pyrage.encrypt(wrapped, [vault.identities[vault.ann].to_public()], armored=True)
        vault.commit([0])
        with self.assertRaisesRegex(Refused, "not a binary age file"):
            opened(vault)

    def test_machine_key(self):
        vault = basic(kind="machine")
        opened(vault, machine=vault.machine_key(vault.ann, 3))
        with self.assertRaisesRegex(Refused, "generation is lower"):
            opened(vault, machine=vault.machine_key(vault.ann, 4))
        key = vault.machine_key(vault.ann, 3)
        with self.assertRaisesRegex(Refused, "checksum"):
            opened(vault, machine=key[:40] + ("A" if key[40] != "A" else "B") + key[41:])
        with self.assertRaisesRegex(Refused, "another vault"):
            opened(vault, machine=self.foreign(vault))
        for junk in ("", "vault-machine-key-1:", "vault-machine-key-2:" + key[20:], key + "A", key + " "):
            with self.subTest(junk), self.assertRaises(Refused):
                opened(vault, machine=junk)

    def foreign(self, vault):
        other = Writer(seed=2)
        other.identities = vault.identities
        return other.machine_key(vault.ann, 1)


class Text(unittest.TestCase):
    """What whoever has no key can do to the file."""

    @classmethod
    def setUpClass(cls):
        vault = basic()
        cls.identity, cls.data = str(vault.identities[vault.ann]), vault.text()
        read(cls.data, identity=cls.identity)

    def refuses(self, data, reason=""):
        with self.assertRaisesRegex((Refused, Denied), reason):
            read(data, identity=self.identity)

    def test_a_bit_of_any_byte_flipped(self):
        for at in range(len(self.data)):
            for bit in (at % 7, 7):
                changed = bytearray(self.data)
                changed[at] ^= 1 << bit
                try:
                    read(bytes(changed), identity=self.identity)
                except (Refused, Denied):
                    continue
                self.fail(f"byte {at} bit {bit}: {self.data[max(0, at - 20) : at + 1]}")

    def test_any_line_deleted_doubled_or_swapped(self):
        lines = self.data.splitlines(keepends=True)
        for at in range(len(lines)):
            self.refuses(b"".join(lines[:at] + lines[at + 1 :]))
            self.refuses(b"".join(lines[: at + 1] + lines[at:]))
            if at + 1 < len(lines) and lines[at] != lines[at + 1]:
                self.refuses(b"".join(lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2 :]))

    def test_any_prefix_and_anything_after_the_end(self):
        for end in range(0, len(self.data), 7):
            self.refuses(self.data[:end])
        self.refuses(self.data[:-1], "no newline at the end")
        for more in (b"\n", b" ", b"page 00\n", b"\0", b"x\n"):
            self.refuses(self.data + more, "The file")

    def test_white_space_and_line_ends(self):
        self.refuses(self.data.replace(b"\n", b"\r\n"), "printable ASCII")
        self.refuses(b"\xef\xbb\xbf" + self.data, "printable ASCII")
        for old, new in ((b"slots\n", b"slots \n"), (b"log 00\n", b"log  00\n"), (b"vault/1 ", b"vault/2 "), (b"log 0a\n", b"log 0A\n"),
                         (b"id ", b" id ")):
            self.refuses(self.data.replace(old, new, 1), "The file")
        self.refuses(self.data.replace(b"vault/1 256", b"vault/1 0256"), "The file")

    def test_base64_in_another_spelling(self):
        lines = self.data.splitlines(keepends=True)
        found = 0
        for at, line in enumerate(lines):
            last = line.rstrip(b"\n").rpartition(b" ")[2].rpartition(b"=")[2]
            if line[:5] not in (b"slot ", b"seal ", b"roste", b"blob ") or len(last) % 4 == 0:
                continue
            alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            other = bytes([alphabet[alphabet.index(line[-2]) + 1]])
            self.refuses(b"".join(lines[:at] + [line[:-2] + other + b"\n"] + lines[at + 1 :]), "unused bits")
            self.refuses(b"".join(lines[:at] + [line[:-1] + b"=\n"] + lines[at + 1 :]))
            found += 1
        self.assertGreater(found, 2)

    def test_an_older_page_in_the_newer_file(self):
        vault = basic()
        older = vault.fork()
        vault.commit([vault.set("github/token", {"secret": b"newer"})])
        page = vault.page_of(vault.entry_id("github/token"))
        vault.entries[page], vault.heads[1 + page] = older.entries[page], older.heads[1 + page]
        with self.assertRaisesRegex(Refused, "does not name its last seal"):
            opened(vault)

    def test_an_older_slot_table_in_the_newer_file(self):
        vault = basic()
        older = vault.fork()
        vault.removed.append([vault.ann, "age", "old", "age1", 1, "ann", 0])
        vault.write_roster()
        vault.commit([0])
        vault.roster, vault.heads[0] = older.roster, older.heads[0]
        with self.assertRaisesRegex(Refused, "does not name its last seal"):
            opened(vault)

    def test_a_tip_left_out_with_all_it_changed_is_an_earlier_state(self):
        vault = basic()
        older = vault.fork()
        vault.commit([vault.set("mail", {"secret": b"1"})])
        self.assertEqual(opened(older)["generation"], 3)
        older.entries = vault.entries
        with self.assertRaisesRegex(Refused, "a page with lines has no head"):
            opened(older)

    def test_number_of_the_blob(self):
        for old, new in ((b" 0 ", b" 00 "), (b" 0 ", b" 1 "), (b" 0 ", b"  0 ")):
            at = self.data.index(b"\nblob ")
            self.refuses(self.data[:at] + self.data[at:].replace(old, new, 1), "Attachments|The file")

    def test_number_of_chunks(self):
        at = self.data.index(b"\nfile ")
        for count in (b"0", b"01", b"2", b"21847", b"9" * 5000):
            self.refuses(self.data[:at] + self.data[at:].replace(b" 1\n", b" " + count + b"\n", 1), "Attachments|The file|Limits")

    def test_counts(self):
        for name, limit, reason in (("SEALS_MAX", 2, "too many seals"), ("ENTRIES_MAX", 1, "too many entries"),
                                    ("LINKS_MAX", 200, "links are too long"), ("ALL_LINKS_MAX", 600, "links are too long"),
                                    ("FILE_MAX", 1000, "file is too long")):
            with self.subTest(name), mock.patch.object(vault_text, name, limit):
                self.refuses(self.data, reason)

    def test_line_limits_count_the_newline(self):
        short, long = 16 << 10, 96 << 10
        for kind, limit in (("head ", short), ("slot ", short), ("id ", short), ("roster ", long), ("blob ", long), ("seal ", 16 << 20)):
            at = self.data.index(b"\n" + kind.encode()) + 1
            end = self.data.index(b"\n", at)
            for length in (limit, limit - 1):
                line = self.data[at:end] + b"A" * (length - (end - at))
                with self.subTest(kind), self.assertRaises((Refused, Denied)) as raised:
                    read(self.data[:at] + line + self.data[end:], identity=self.identity)
                said = "Limits: line" in str(raised.exception)
                self.assertEqual(said, length == limit, raised.exception)

    def test_file_lines_out_of_order(self):
        vault = basic()
        vault.commit([vault.set("n", {"one": [b"1"], "two": [b"2"]})])
        lines = vault.entries[vault.page_of(vault.entry_id("n"))][vault.entry_id("n")]
        lines[1:] = lines[3:] + lines[1:3]
        vault.commit([1 + vault.page_of(vault.entry_id("n"))])
        with self.assertRaisesRegex(Refused, "file lines are not ascending"):
            opened(vault)

    def test_chunks_swapped(self):
        vault = basic()
        vault.commit([vault.set("n", {"secret": [b"a" * 150_000]})])
        page = vault.entries[vault.page_of(vault.entry_id("n"))][vault.entry_id("n")]
        bodies = [text.rpartition(" ") for _, text in page[2:]]
        page[2], page[3] = (False, "".join(bodies[0][:2]) + bodies[1][2]), (False, "".join(bodies[1][:2]) + bodies[0][2])
        with self.assertRaisesRegex(Refused, "chunk 0 does not open"):
            opened(vault)


class Sealed(unittest.TestCase):
    """What whoever has the key could write, and MUST NOT."""

    def refuses(self, vault, reason):
        with self.assertRaisesRegex(Refused, reason):
            opened(vault)

    def with_seal(self, reason, edit_links=None, edit_changes=None, **more):
        vault = basic()
        hooks = {**({"edit_links": edit_links} if edit_links else {}), **({"edit_changes": edit_changes} if edit_changes else {})}
        vault.commit([vault.set("mail", {"secret": b"1"})], **hooks, **more)
        with self.subTest(reason):
            self.refuses(vault, reason)

    def with_entry(self, reason, name="mail", fields=None, **more):
        vault = basic()
        vault.commit([vault.set(name, fields or {"secret": b"1"}, **more)])
        with self.subTest(reason):
            self.refuses(vault, reason)

    def test_padding(self):
        self.with_entry("padding is not zeros", edit_padded=lambda data: data[:-1] + b"\1")
        self.with_entry("wrong size", edit_padded=lambda data: data + bytes(64))
        self.with_entry("wrong size", edit_padded=lambda data: data[:-1])
        self.with_entry("wrong size", edit_padded=lambda data: b"\0\0\4\0" + data[4:])
        self.with_entry("wrong size", edit_padded=lambda data: b"\xff\xff\xff\xff" + data[4:])
        self.with_entry("wrong size", edit_padded=lambda data: b"")
        self.with_seal("wrong size", links_edits={"edit_padded": lambda data: data + bytes(64)})
        self.with_seal("padding is not zeros", changes_edits={"edit_padded": lambda data: data[:-1] + b"\1"})

    def test_cbor_in_another_spelling(self):
        name = cbor("mail")
        for why, edit in (
            ("bytes follow", lambda data: data + b"\0"),
            ("ends too early", lambda data: data[:-1]),
            ("not the shortest", replaced(b"\1" + name, b"\x18\1" + name)),
            ("not the shortest", replaced(name, b"\x78\4mail")),
            ("not the shortest", replaced(name, b"\x79\0\4mail")),
            ("not the shortest", replaced(name, b"\x7b\0\0\0\0\0\0\0\4mail")),
            ("indefinite length", replaced(name, b"\x7f\x64mail\xff")),
            ("indefinite length", lambda data: b"\xbf" + data[1:] + b"\xff"),
            ("indefinite length", replaced(name, b"\x7cmail")),
            ("tag or negative", replaced(name, b"\xc0\x64mail")),
            ("tag or negative", replaced(name, b"\x24")),
            ("float", replaced(name, b"\xf9\0\0")),
            ("float", replaced(name, b"\xf7")),
            ("float", replaced(name, b"\xf8\x20")),
            ("not UTF-8", replaced(name, b"\x64ma\xff\xfe")),
            ("not UTF-8", replaced(name, b"\x63\xed\xa0\x80")),
            ("ascending and distinct", lambda data: b"\xa5" + data[1:] + data[-6:]),
            ("nested too deep", replaced(name, b"\x81" * 40 + b"\0")),
            ("map key of a kind", lambda data: b"\xa1\x80\0"),
            ("ends too early", lambda data: b"\x9b" + b"\xff" * 8),
            ("ends too early", lambda data: b""),
        ):
            self.with_entry(why, edit_cbor=edit)

    def test_any_plaintext_is_opened_or_refused(self):
        chance, refused = random.Random(7), 0

        def edit(data):
            data = bytearray(data)
            for _ in range(chance.randint(1, 3)):
                heads = (0, 1, 0x18, 0x20, 0x40, 0x61, 0x80, 0x9F, 0xA0, 0xC0, 0xF5, 0xF6, chance.randrange(256))
                data[chance.randrange(len(data))] = chance.choice(heads)
            return bytes(data)

        base = basic()
        alternatives = [({1: bytes(16), 3: {"url": None}, 4: {"secret": [0, 0]}, 5: None}, {"secret": b"2"})]
        for turn in range(400):
            vault = base.fork()
            vault.ann, vault.random = base.ann, random.Random(turn)
            if turn % 4 == 3:
                vault.write_roster(edit_cbor=edit)
            page = vault.set("mail", {"secret": b"1"}, {"a": "b"}, 7, alternatives, edit_cbor=edit if turn % 4 == 0 else lambda data: data)
            vault.commit([0, page], {4: [{1: 2, 2: "mail", 5: "m"}], 6: [bytes(16)], 7: [[bytes(16), 1, {1: 1, 2: "a"}]]},
                         links_edits={"edit_cbor": edit} if turn % 4 == 1 else None,
                         changes_edits={"edit_cbor": edit} if turn % 4 == 2 else None)
            try:
                json.dumps(opened(vault))
            except Refused:
                refused += 1
        self.assertGreater(refused, 200)

    def test_order_of_map_keys(self):
        with self.assertRaisesRegex(Refused, "ascending"):
            decode(b"\xa2\2\0\1\0")
        with self.assertRaisesRegex(Refused, "ascending"):
            decode(b"\xa2\x62aa\0\x61b\0")
        self.assertEqual(decode(b"\xa2\x61b\0\x62aa\0"), {"b": 0, "aa": 0})

    def test_unknown_members(self):
        self.with_entry("unknown map member", meta=member(8, 0))
        self.with_entry("unknown map member", secrets=member(3, 0))
        self.with_seal("unknown map member", member(6, True))
        self.with_seal("unknown map member", None, member(8, 0))
        vault = basic()
        vault.write_roster(member(4, 0))
        vault.commit([0])
        self.refuses(vault, "unknown map member")

    def test_shapes_of_meta_and_secrets(self):
        self.with_entry("Pages and entries: meta: map is too small", meta=member(2, {}))
        self.with_entry("Pages and entries: meta: text is too short", meta=member(2, {"": "v"}))
        self.with_entry("Pages and entries: meta: text is too short or too long", meta=member(2, {"k": "v" * 8193}))
        self.with_entry("Pages and entries: meta: map is too small or too large", meta=member(2, {f"{n}": "" for n in range(257)}))
        self.with_entry("Pages and entries: meta: map is too small or too large", fields={f"{n}": b"" for n in range(65)})
        self.with_entry("Pages and entries: meta: name contains U.0000", name="a\0b")
        self.with_entry("Pages and entries: meta: text is too short or too long", name="n" * 1025)
        self.with_entry("Pages and entries: meta: text is too short or too long", fields={"f" * 129: b""})
        self.with_entry("Pages and entries: meta: value is not one", meta=member(3, {"secret": [2, 0]}))
        self.with_entry("Pages and entries: meta: not an array of the right length", meta=member(3, {"secret": [0]}))
        self.with_entry("Pages and entries: meta: not an unsigned integer", meta=member(4, True))
        self.with_entry("Pages and entries: meta: a map member is missing", meta=lambda members: {k: members[k] for k in (1, 3, 4)})
        self.with_entry("Pages and entries: meta: not a text string", meta=member(1, 5))
        self.with_entry("Pages and entries: meta: not a map", meta=member(2, []))
        self.with_entry("Pages and entries: meta: not a map", meta=lambda members: 0)
        self.with_entry("Pages and entries: meta: not an array", meta=member(7, {}))
        self.with_entry("Pages and entries: secret: not an array", secrets=member(1, {"secret": "text"}))
        self.with_entry("Pages and entries: meta: array is too short", meta=member(7, []))
        self.with_entry("Pages and entries: meta: value is not one", alternatives=[({1: bytes(16), 6: False}, {})])
        self.with_entry("Pages and entries: secret: byte string is too short or too long", fields={"secret": b"v" * 16_385})
        two = member(1, {"secret": [bytes(16), bytes(32)]})
        self.with_entry("Pages and entries: secret: not an array of the right length", secrets=two)

    def test_an_entry_agrees_with_itself(self):
        self.with_entry("name does not give", meta=member(1, "mail2"))
        self.with_entry("different kinds", meta=member(3, {"secret": [1, 0]}))
        self.with_entry("different kinds", fields={"secret": [b"1"]}, meta=member(3, {"secret": [0, 0]}))
        self.with_entry("different fields", meta=member(3, {"pin": [0, 0]}))
        self.with_entry("different fields", secrets=member(1, {"secret": b"", "pin": b""}))
        self.with_entry("different fields", secrets=lambda members: {})
        self.with_entry("one map of values per alternative", secrets=member(2, [{}]))
        self.with_entry("one map of values per alternative", meta=member(7, [{1: bytes(16)}]))
        self.with_entry("one map of values per alternative", alternatives=[({1: bytes(16)}, {})] * 2, secrets=member(2, [{}]))
        self.with_entry("different fields", alternatives=[({1: bytes(16), 4: {"secret": None}}, {"secret": b""})])
        self.with_entry("different fields", alternatives=[({1: bytes(16), 4: {"secret": [0, 0]}}, {})])

    def test_attachments_are_exactly_the_file_lines(self):
        self.with_entry("no file line", fields={"secret": [b"1"]}, drop_blob=True)
        self.with_entry("exactly the entry's file lines", fields={"secret": [b"1"]}, extra_blob=True)

    def test_attachments_have_the_right_size(self):
        long = [b"1" * 49_152]
        self.with_entry("wrong number of chunks", fields={"secret": long}, edit_attachment=lambda data: data + bytes(64))
        self.with_entry("wrong length", fields={"secret": [b"1"]}, edit_attachment=lambda data: data + bytes(64))
        self.with_entry("padding is not zeros", fields={"secret": [b"1"]}, edit_attachment=lambda data: data[:-1] + b"\1")

        def length(count):
            return lambda members: {1: {"secret": [*members[1]["secret"][:2], count]}}
        self.with_entry("padding is not zeros", fields={"secret": [b"12"]}, secrets=length(1))
        self.with_entry("attachment is too long", fields={"secret": [b"12"]}, secrets=length((1 << 30) + 1))
        self.with_entry("wrong number of chunks", fields={"secret": [b"12"]}, secrets=length(1 << 30))
        self.with_entry("does not open", fields={"secret": [b"1"]}, secrets=lambda members: {
            1: {"secret": [members[1]["secret"][0], bytes(32), 1]}})

    def test_an_entry_in_another_page(self):
        vault = basic()
        entry_id = vault.entry_id("mail")
        vault.commit([vault.set("mail", {"secret": b"1"}, page=(vault.page_of(entry_id) + 1) % 256)])
        self.refuses(vault, "another entry's page")

    def test_links(self):
        self.with_seal("inner id", member(1, bytes(16)))
        self.with_seal("parent is not in the log", member(2, [bytes(16)]))
        self.with_seal("exactly one seal without parents", member(2, []))
        self.with_seal("generation is not 1", member(3, 3))
        self.with_seal("generation is not 1", member(3, 5))
        self.with_seal("a restart has parents", member(5, True))
        self.with_seal("value is not one", member(5, False))
        self.with_seal("array is too short", member(4, []))
        self.with_seal("not an array of the right length", place(lambda one: one.pop()))
        self.with_seal("byte string is too short", place(lambda one: one.__setitem__(2, bytes(31))))
        self.with_seal("byte string is too short", member(2, [bytes(15)]))
        self.with_seal("not a byte string", member(1, "text"))
        self.with_seal("ascending and distinct", lambda links: {**links, 4: links[4] * 2})
        self.with_seal("ascending and distinct", lambda links: {**links, 4: links[4] + [[0, [], bytes(32)]]})
        self.with_seal("ascending and distinct", lambda links: {**links, 2: links[2] * 2})
        self.with_seal("too short or too long", lambda links: {**links, 2: [n.to_bytes(16) for n in range(1025)]})
        self.with_seal("wrong section", section=0)
        self.with_seal("wrong section", section=255)
        self.with_seal("a page that the file does not have", lambda links: {**links, 4: links[4] + [[257, [], bytes(32)]]})

    def test_parents_are_ascending(self):
        vault = basic()
        other = vault.fork()
        vault.commit([vault.set("mail", {"secret": b"1"})])
        other.commit([other.set("bank", {"secret": b"1"})])
        vault.merge_text(other)
        vault.commit([vault.set("mail", {"secret": b"2"})], edit_links=lambda links: {**links, 2: links[2][::-1]})
        self.refuses(vault, "ascending and distinct")

    def test_places(self):
        vault = basic()
        first = next(seal for seal, links in vault.plain.items() if links[3] == 1)
        self.with_seal("previous does not list the place", place(lambda one: one.__setitem__(1, [bytes(16)])))
        self.with_seal("previous does not list the place", place(lambda one: one.__setitem__(1, [first])))
        self.with_seal("last seal of place .* lists another tag", place(lambda one: one.__setitem__(2, bytes(32))))
        self.with_seal("has no head, but a seal lists it", lambda links: {**links, 4: links[4] + [[256, [], bytes(32)]]})
        vault.commit([vault.set("github/token", {"secret": b"2"})], edit_links=place(lambda one: one.__setitem__(1, [])))
        self.refuses(vault, "several last seals")

    def test_previous_has_a_lower_generation(self):
        vault = basic()
        other = vault.fork()
        vault.commit([vault.set("github/token", {"secret": b"2"})])
        first = vault.tips()[0]
        edit = place(lambda one: one.__setitem__(1, sorted(one[1] + [first])))
        other.commit([other.set("github/token", {"secret": b"3"})], edit_links=edit)
        other.merge_text(vault)
        self.refuses(other, "no lower generation")

    def test_heads(self):
        vault = basic()
        vault.heads[256] = bytes(16), vault.tag(256, bytes(16))
        self.refuses(vault, "has a head, but no seal lists it")
        vault = basic()
        page = 1 + vault.page_of(vault.entry_id("mail"))
        vault.commit([vault.set("mail", {"secret": b"1"})])
        right = vault.heads[page][0]
        for seal in [*vault.seals, bytes(16)]:
            if seal != right:
                vault.heads[page] = seal, vault.tag(page, seal)
                self.refuses(vault, "does not name its last seal")
        vault = basic()
        vault.heads[0] = vault.heads[0][0], bytes(32)
        self.refuses(vault, "tag of place 0 is wrong")

    def test_the_first_seal(self):
        vault = Writer()
        vault.ann = vault.add_slot("ann")
        vault.write_roster()
        vault.commit([0], edit_links=member(3, 2))
        self.refuses(vault, "generation is not 1")
        vault = basic()
        vault.seals, vault.plain, vault.heads = {}, {}, {0: (bytes(16), bytes(32))}
        self.refuses(vault, "When a file verifies|The file")

    def test_a_seal_id_twice_in_the_log(self):
        vault = basic()
        text = vault.text()
        line = next(line for line in text.splitlines(keepends=True) if line.startswith(b"seal "))
        with self.assertRaisesRegex(Refused, "two seals have the same id"):
            read(text.replace(b"log fe\n", b"log fe\n" + line), identity=str(vault.identities[vault.ann]))

    def test_changes(self):
        changed = lambda *changes: member(4, list(changes))
        self.with_seal("value is not one", None, changed({1: 4, 2: "n"}))
        self.with_seal("array is too short", None, changed())
        self.with_seal("array is too short", None, changed({1: 0, 2: "n", 3: []}))
        self.with_seal("unknown map member", None, changed({1: 0, 2: "n", 7: 0}))
        self.with_seal("do not come together", None, changed({1: 2, 2: "n"}))
        self.with_seal("do not come together", None, changed({1: 0, 2: "n", 5: "m"}))
        self.with_seal("text is too short or too long", None, member(2, "a" * 257))
        self.with_seal("text is too short or too long", None, member(3, ""))
        self.with_seal("text is too short or too long", None, member(3, "r" * 1025))
        self.with_seal("ascending and distinct", None, member(6, [b"b" * 16, b"a" * 16]))
        self.with_seal("value is not one", None, member(5, [[4, bytes(16)]]))
        record = lambda generation, one, more={}: [one * 16, generation, {1: 0, 2: "ann", **more}]
        self.with_seal("ascending and distinct", None, member(7, [record(2, b"a"), record(1, b"b")]))
        self.with_seal("ascending and distinct", None, member(7, [record(1, b"b"), record(1, b"a")]))
        self.with_seal("unknown map member", None, member(7, [record(1, b"b", {7: [record(1, b"a")]})]))
        self.with_seal("too short or too long", None, member(6, [n.to_bytes(16) for n in range(65_537)]))

    def test_roster(self):
        for why, edit in (
            ("not exactly those of the slots", lambda members: {**members, 2: {bytes(16): [0, "", 0]}}),
            ("not exactly those of the slots", lambda members: {**members, 2: {**members[2], bytes(16): [0, "", 0]}}),
            ("map is too small", member(2, {})),
            ("array is too short", member(3, [])),
            ("array is too short or too long", member(3, [[bytes(16), "age", "l", "r", 0, "", 0]] * 257)),
        ):
            vault = basic()
            vault.write_roster(edit)
            vault.commit([0])
            with self.subTest(why):
                self.refuses(vault, why)

    def test_slot_lines(self):
        def with_slot(reason, edit):
            vault = basic()
            edit(vault)
            vault.write_roster()
            vault.commit([0])
            with self.subTest(reason):
                self.refuses(vault, reason)

        with_slot("same label", lambda vault: vault.add_slot("ann"))
        with_slot("does not have", lambda vault: vault.slots[vault.ann].__setitem__(2, " m=1"))
        with_slot("not m, t, p, salt, identity", lambda vault: vault.add_slot("bob", kind="passphrase"))
        with_slot("not a slot line as it should", lambda vault: vault.add_slot("b b"))
        with_slot("not a slot line as it should", lambda vault: vault.add_slot("l" * 65))
        with_slot("not a slot line as it should", lambda vault: vault.add_slot("bob", kind="Age"))
        with_slot("not a slot line as it should", lambda vault: vault.slots[vault.add_slot("bob", kind="tpm2")].__setitem__(2, "  a=b"))
        with_slot("not a slot line as it should", lambda vault: vault.slots[vault.add_slot("bob", kind="tpm2")].__setitem__(2, " a="))
        with_slot("too long", lambda vault: vault.slots[vault.add_slot("bob", kind="tpm2")].__setitem__(2, " a=" + "b" * 16_384))
        with_slot("age file of a slot", lambda vault: vault.slots[vault.ann].__setitem__(1, bytes(8193)))
        with_slot("too many slots", lambda vault: [vault.add_slot(f"l{n}") for n in range(64)])


class CommandLine(unittest.TestCase):
    def run_it(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = vault_reader.main(list(arguments))
            except SystemExit as exit:
                code = exit.code
        return code, out.getvalue(), err.getvalue()

    def test_exit_codes(self):
        vault = basic()
        vault.add_slot("phrase", "passphrase", SECRET)
        vault.write_roster()
        vault.commit([0])
        with tempfile.TemporaryDirectory() as folder:
            def path(name, data):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(data)
                return file.name

            file = path("a.vault", vault.text())
            identity = path("identity", b"# a comment\n" + str(vault.identities[vault.ann]).encode() + b"\n")
            machine = path("machine", vault.machine_key(vault.ann, 1).encode() + b"\n")
            phrase = path("phrase", SECRET + b"\n")
            keys = {"--identity": identity, "--machine-key-file": machine, "--passphrase-file": phrase}
            said = [self.run_it(file, *key, "--json") for key in keys.items()]
            self.assertEqual(said, [(0, said[0][1], "")] * 3)
            self.assertEqual(json.loads(said[0][1]), opened(vault))
            self.assertEqual(self.run_it(file, "--passphrase-file", path("wrong", b"x"))[0], 5)
            self.assertEqual(self.run_it(file, "--identity", path("junk", b"\xff\0junk"))[0], 5)
            self.assertEqual(self.run_it(file, "--identity", path("empty", b""))[0], 5)
            code, out, err = self.run_it(path("damaged", vault.text()[:-1]), "--identity", identity)
            self.assertEqual((code, out, err.count("\n")), (6, "", 1))
            self.assertIn("refused: The file: ", err)
            self.assertEqual(self.run_it(path("nothing", b""), "--identity", identity)[0], 6)
            os.truncate(path("huge", b""), (4 << 30) + 1)
            code, out, err = self.run_it(os.path.join(folder, "huge"), "--identity", identity)
            self.assertEqual((code, out, err), (6, "", "vault_reader: refused: Limits: file is too long\n"))
            self.assertEqual(self.run_it(os.path.join(folder, "absent"), "--identity", identity)[0], 1)
            self.assertEqual(self.run_it(file)[0], 2)


if __name__ == "__main__":
    unittest.main()
