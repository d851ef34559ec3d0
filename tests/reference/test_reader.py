"""What is valid opens and is given out whole; who has not the right key gets nothing. What is refused: test_refusals.py.

Run: python -m unittest, in this folder, with requirements.txt installed.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import unicodedata
import unittest

import pyrage

import vault_reader
from vault_reader import Denied, Refused, read
from vault_writer import Writer, pad

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
        carried, first, second = opened(vault)["log"][:2], *opened(vault)["log"][2:]
        self.assertEqual([(line["carried"], line["generation"]) for line in carried], [(True, 1), (True, 2)])
        self.assertEqual((first["restart"], first["generation"], first["replaces"]), (True, 4, [one.hex() for one in dropped]))
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
        with self.assertRaisesRegex(Denied, "passphrase is too long"):
            opened(vault, passphrase=b"p" * 4097)
        # The bytes as typed are counted: normalised, this one would be half as long.
        with self.assertRaisesRegex(Denied, "passphrase is too long"):
            opened(vault, passphrase="e\u0301".encode() * 1366)
        for number in range(8):
            vault.add_slot(f"p{number}", "passphrase", b"other")
        vault.write_roster()
        vault.commit([0])
        with self.assertRaisesRegex(Denied, "too many passphrase slots"):
            opened(vault, passphrase=SECRET)

    def test_argon2_parameters_out_of_range(self):
        for good, bad in (("m=19456", "m=19455"), ("m=19456", "m=1048577"), ("t=1", "t=0"), ("t=1", "t=17"), ("p=1", "p=0"),
                          ("p=1", "p=17"), ("m=19456 t=1", "m=1048576 t=5"), ("m=19456", "m=4294967295")):
            vault = self.vault()
            vault.slots[vault.phrase][2] = replaced(good, bad)(vault.slots[vault.phrase][2])
            vault.commit([0])
            with self.subTest(bad):
                opened(vault)
                with self.assertRaisesRegex(Denied, "no slot opened"):
                    opened(vault, passphrase=SECRET)
        for bad in ("m=4294967296", "m=99999999999999999999", "m=019456"):
            vault = self.vault()
            vault.slots[vault.phrase][2] = replaced("m=19456", bad)(vault.slots[vault.phrase][2])
            vault.commit([0])
            with self.subTest(bad), self.assertRaisesRegex(Refused, "over 32 bits|fields of a passphrase slot"):
                opened(vault)

    def test_salt_of_another_length(self):
        vault = self.vault()
        vault.slots[vault.phrase][2] = vault.slots[vault.phrase][2].replace(" identity", "AAAA identity")
        vault.commit([0])
        with self.assertRaisesRegex(Refused, "salt is not 16 bytes"):
            opened(vault)

    def test_identity_inside_is_another(self):
        vault = self.vault(identity_inside=pyrage.x25519.Identity.generate())
        with self.assertRaisesRegex(Denied, "no slot opened"):
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
        with self.assertRaisesRegex(Denied, "no slot opened"):
            opened(vault)

    def test_machine_key(self):
        vault = basic(kind="machine")
        opened(vault, machine=vault.machine_key(vault.ann, 3))
        with self.assertRaisesRegex(Refused, "generation is lower"):
            opened(vault, machine=vault.machine_key(vault.ann, 4))
        key = vault.machine_key(vault.ann, 3)
        with self.assertRaisesRegex(Denied, "checksum"):
            opened(vault, machine=key[:40] + ("A" if key[40] != "A" else "B") + key[41:])
        with self.assertRaisesRegex(Refused, "another vault"):
            opened(vault, machine=self.foreign(vault))
        for junk in ("", "vault-machine-key-1:", "vault-machine-key-2:" + key[20:], key + "A", key + " "):
            with self.subTest(junk), self.assertRaises(Denied):
                opened(vault, machine=junk)

    def foreign(self, vault):
        other = Writer(seed=2)
        other.identities = vault.identities
        return other.machine_key(vault.ann, 1)


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
