"""Each MUST of docs/format.md that is broken is refused for that reason: without the key in `Text`, with it in `Sealed`."""

import json
import random
import unittest
from unittest import mock

import vault_text
from test_reader import basic, opened, replaced
from vault_reader import Denied, Refused, read
from vault_shapes import cbor as decode
from vault_writer import Writer, cbor


def member(key, value):
    return lambda members: {**members, key: value}


def place(edit):
    """An edit of links that changes the last listed place."""
    def apply(links):
        links = {**links, 4: [list(one) for one in links[4]]}
        edit(links[4][-1])
        return links
    return apply


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

    def test_hex_in_capitals(self):
        found = 0
        for line in self.data.splitlines():
            words = line.split(b" ")
            for at, word in enumerate(words):
                if len(word) in (32, 64) and word.upper() != word and not set(word) - set(b"0123456789abcdef"):
                    capital = b" ".join(words[:at] + [word.upper()] + words[at + 1 :])
                    self.refuses(self.data.replace(line, capital, 1), "The file: line|has no head|Attachments")
                    found += 1
        self.assertGreater(found, 15)

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
            more = b"A" * ((1 - len(last)) % 4) + b"\n"
            self.refuses(b"".join(lines[:at] + [line[:-1] + more] + lines[at + 1 :]), "impossible length")
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
                                    ("LINKS_MAX", 150, "links are too long"), ("ALL_LINKS_MAX", 450, "links are too long"),
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
        self.with_seal("generation out of range", member(3, 0))
        self.with_seal("generation out of range", member(3, 1 << 53))
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
        self.with_seal("value is not one", None, changed({1: 5, 2: "n"}))
        self.with_seal("array is too short", None, changed())
        self.with_seal("array is too short", None, changed({1: 0, 2: "n", 3: []}))
        self.with_seal("ascending and distinct", None, changed({1: 0, 2: "n", 4: ["b", "a"]}))
        self.with_seal("ascending and distinct", None, changed({1: 0, 2: "n", 3: ["a", "a"]}))
        self.with_seal("text is too short", None, changed({1: 0, 2: "n", 3: [""]}))
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


if __name__ == "__main__":
    unittest.main()
