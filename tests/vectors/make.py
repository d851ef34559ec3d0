"""Makes the vectors: one folder a scenario, with the vault, what opens it, and what a reader must find.

Run: python make.py, with ../reference/requirements.txt installed. Vectors are made once and never changed: what is there
stays as it is, and only what is missing is made.

    vault                                     the file
    identity, machine-key, passphrase         what opens it; each must lead to the same outcome
    recovery                                  a recovery code
    expect.json                               {"outcome": "ok", "vault": …} | {"outcome": "refused" | "denied", "rule": …}

The vault of an "ok" is described as vault_reader.py describes it. "refused" is exit code 6, "denied" 5. `rule` is the section
of docs/format.md that is broken, and how.
"""

import json
import os
import pathlib
import sys
import unicodedata

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reference"))

import pyrage  # noqa: E402

from vault_reader import Denied, Refused, read  # noqa: E402
from vault_writer import Writer, cbor  # noqa: E402

PHRASE = b"correct horse battery staple"
SCENARIOS = {}


def scenario(name, outcome, rule=None):
    def keep(make):
        assert name not in SCENARIOS, name
        SCENARIOS[name] = (outcome, rule, make)
        return make
    return keep


def good(name):
    return scenario(name, "ok")


def refused(name, rule, make=None):
    return scenario(name, "refused", rule) if make is None else scenario(name, "refused", rule)(make)


def denied(name, rule, make=None):
    return scenario(name, "denied", rule) if make is None else scenario(name, "denied", rule)(make)


# --- What scenarios are made of ------------------------------------------------------------------------------------------------------


class Made:
    """A file and what opens it."""

    def __init__(self, text, **keys):
        self.text, self.keys = text, keys


def start(pages=256, seed=1, **slot):
    vault = Writer(pages, seed)
    vault.ann = vault.add_slot("ann", **slot)
    vault.write_roster()
    vault.commit([0], {5: [[0, vault.ann]]})
    return vault


def basic(pages=256, seed=1, **slot):
    """One slot, two entries, one of them with an attachment of one chunk, in three seals."""
    vault = start(pages, seed, **slot)
    vault.commit([vault.set("github/token", {"secret": b"abc"}, {"url": "https://github.com"})],
                 {4: [{1: 0, 2: "github/token", 3: ["url"], 4: ["secret"]}]})
    vault.commit([vault.set("aws/key", {"secret": b"def", "file": [b"x" * 70]}, expires=5)],
                 {4: [{1: 0, 2: "aws/key", 4: ["file", "secret"], 6: True}]}, reason="why")
    return vault


def by_identity(vault, text=None, slot=None):
    return Made(vault.text() if text is None else text, identity=str(vault.identities[slot or vault.ann]) + "\n")


def change(op, name, **more):
    keys = {"attributes": 3, "fields": 4, "to": 5, "expiry": 6}
    return {1: op, 2: name, **{keys[key]: value for key, value in more.items()}}


def member(key, value):
    return lambda members: {**members, key: value}


def without(*gone):
    return lambda members: {key: value for key, value in members.items() if key not in gone}


def last_place(edit):
    def apply(links):
        links = {**links, 4: [list(one) for one in links[4]]}
        edit(links[4][-1])
        return links
    return apply


def replaced(old, new):
    def edit(data):
        assert data.count(old) == 1, (old, data)
        return data.replace(old, new)
    return edit


# --- Good ----------------------------------------------------------------------------------------------------------------------------


@good("good-256-pages")
def _():
    return by_identity(basic())


@good("good-4096-pages")
def _():
    return by_identity(basic(4096))


@good("good-no-entries")
def _():
    return by_identity(start())


@good("good-slots-of-every-kind")
def _():
    vault = start()
    machine = vault.add_slot("ci", "machine")
    vault.add_slot("phrase", "passphrase", PHRASE)
    vault.add_slot("paper", "recovery", b"abcde-fghij-klmno")
    vault.write_roster()
    vault.commit([0], {5: [[0, slot] for slot in list(vault.slots)[1:]]})
    vault.commit([vault.set("mail", {"secret": b"1"})], {4: [change(0, "mail", fields=["secret"])]})
    return Made(vault.text(), **{
        "identity": "# created: long ago\n" + str(vault.identities[vault.ann]) + "\n",
        "machine-key": vault.machine_key(machine, 2) + "\n", "passphrase": PHRASE, "recovery": b"abcde-fghij-klmno\n"})


@good("good-passphrase-numbers")
def _():
    vault = start(kind="passphrase", passphrase=PHRASE, m=19_456 + 7, t=2, p=3)
    return Made(vault.text(), passphrase=PHRASE + b"\n")


@good("good-passphrase-not-utf8")
def _():
    return Made(start(kind="passphrase", passphrase=b"\xff\xfe\x00").text(), passphrase=b"\xff\xfe\x00")


@good("good-passphrase-typed-decomposed")
def _():
    composed = unicodedata.normalize("NFC", "caf\u00e9")
    return Made(start(kind="passphrase", passphrase=composed.encode()).text(), passphrase=unicodedata.normalize("NFD", composed).encode())


@good("good-passphrase-second-slot")
def _():
    vault = start(kind="passphrase", passphrase=b"another")
    vault.add_slot("phrase", "passphrase", PHRASE)
    vault.write_roster()
    vault.commit([0])
    return Made(vault.text(), passphrase=PHRASE)


@good("good-slot-too-costly-beside")
def _():
    vault = start(kind="passphrase", passphrase=PHRASE)
    dear = vault.add_slot("dear", "passphrase", b"x")
    vault.slots[dear][2] = replaced("m=19456", "m=4294967295")(vault.slots[dear][2])
    vault.write_roster()
    vault.commit([0])
    return Made(vault.text(), passphrase=PHRASE)


@good("good-slot-kind-unknown")
def _():
    vault = basic()
    other = vault.add_slot("chip", kind="tpm2")
    vault.slots[other][2] = " pcrs=7,11 policy=a=b x-1=~"
    vault.write_roster()
    vault.commit([0], {5: [[0, other]]})
    return by_identity(vault)


@good("good-slot-changes")
def _():
    vault = basic()
    gone = bytes(range(16))
    vault.removed.append([gone, "age", "bob", "age1bob", 5, "ann", 0])
    vault.write_roster()
    vault.commit([0], {5: [[1, gone], [2, vault.ann], [3, vault.ann]]}, reason="bob left")
    return by_identity(vault)


@good("good-64-slots")
def _():
    vault = start()
    for number in range(63):
        vault.add_slot(f"l{number}", kind="later")
    vault.write_roster()
    vault.commit([0])
    return by_identity(vault)


@good("good-names")
def _():
    vault = start()
    names = ["a", "caf\u00e9", "\u65e5\u672c\u8a9e/\u9375", "with space ", "tab\tnewline\n", "\u202ebidi", "\U0001f511", "n" * 1024, "../etc/passwd",
             "\ufdd0", "A", "a/"]
    vault.commit([vault.set(name, {"secret": name.encode()}) for name in names], {4: [change(0, name, fields=["secret"]) for name in names]})
    return by_identity(vault)


@good("good-name-not-normalised")
def _():
    vault = start()
    names = [unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
    vault.commit([vault.set(name, {"secret": name.encode()}) for name in names])
    return by_identity(vault)


@good("good-values")
def _():
    vault = start()
    values = {"empty": b"", "binary": bytes(range(256)), "newline": b"\n", "nul": b"\0", "largest": b"v" * 16_384, "not-utf8": b"\xff"}
    vault.commit([vault.set(name, {"secret": value}) for name, value in values.items()])
    return by_identity(vault)


@good("good-entry-without-fields")
def _():
    vault = start()
    vault.commit([vault.set("note", {}, {"text": "no secret here"})])
    return by_identity(vault)


@good("good-64-fields-256-attributes")
def _():
    vault = start()
    vault.commit([vault.set("full", {f"f{n}": b"" for n in range(64)}, {f"a{n}": "" for n in range(256)})])
    return by_identity(vault)


@good("good-attributes")
def _():
    vault = start()
    attributes = {"url": "https://example.org", "empty": "", "\u00fc": "\u00e4\u0000\n", "k" * 128: "v" * 8192, "bb": "1", "a": "2", "c": "3"}
    vault.commit([vault.set("web", {"secret": b"s"}, attributes)],
                 {4: [change(0, "web", attributes=sorted(attributes, key=str.encode), fields=["secret"])]})
    return by_identity(vault)


@good("good-expiry")
def _():
    vault = start()
    vault.commit([vault.set("soon", {"secret": b"s"}, expires=0), vault.set("late", {"secret": b"s"}, expires=(1 << 64) - 1)],
                 {4: [change(0, "soon", expiry=True), change(0, "late", expiry=True)]})
    return by_identity(vault)


@good("good-changes-of-every-kind")
def _():
    vault = start()
    vault.commit([vault.set("a", {"secret": b"1"}), vault.set("gone", {"secret": b"2"})],
                 {4: [change(0, "a", fields=["secret"]), change(0, "gone", fields=["secret"])]})
    places = [vault.remove("gone"), vault.remove("a"), vault.set("b", {"secret": b"1"})]
    vault.commit(places, {4: [change(1, "gone"), change(4, "gone", fields=["secret"]), change(1, "gone"), change(2, "a", to="b"), change(3, "b", fields=["secret"], attributes=["x"], expiry=True)]},
                 reason="r" * 1024)
    return by_identity(vault)


@good("good-page-emptied")
def _():
    vault = basic()
    vault.commit([vault.remove("aws/key")], {4: [change(1, "aws/key")]})
    return by_identity(vault)


for size in (0, 1, 64, 49_152, 49_153, 98_304):
    def _(size=size):
        vault = start()
        vault.commit([vault.set("file", {"secret": [bytes(n % 251 for n in range(size))]})], {4: [change(0, "file", fields=["secret"])]})
        return by_identity(vault)
    good(f"good-attachment-{size}")(_)


@good("good-attachment-with-chunks-of-padding")
def _():
    vault = start()
    # The smallest there is: the value fills 23 chunks, pad(1130496) is 16384 more.
    vault.commit([vault.set("file", {"secret": [b"p" * 1_130_496]})])
    return by_identity(vault)


@good("good-attachments-of-one-entry")
def _():
    vault = start()
    vault.commit([vault.set("files", {"one": [b"1"], "two": [b"2" * 50_000], "three": [b""], "inline": b"4"})])
    return by_identity(vault)


@good("good-attachment-in-two-values")
def _():
    vault = start()
    tip = vault.tips()[0]

    def same(members):
        members[2] = [{"secret": members[1]["secret"]}]
        return members
    vault.commit([vault.set("file", {"secret": [b"same"]}, alternatives=[({1: tip, 4: {"secret": [1, 0]}}, {})], secrets=same)])
    return by_identity(vault)


def branches(first="mail", second="bank", pages=256):
    ours = basic(pages)
    theirs = ours.fork()
    theirs.ann = ours.ann
    ours.commit([ours.set(first, {"secret": b"1"})], {4: [change(0, first, fields=["secret"])]})
    theirs.commit([theirs.set(second, {"secret": b"2"})], {4: [change(0, second, fields=["secret"])]})
    return ours, theirs


@good("good-two-tips")
def _():
    ours, theirs = branches()
    ours.merge_text(theirs)
    return by_identity(ours)


@good("good-two-tips-4096-pages")
def _():
    ours, theirs = branches(pages=4096)
    ours.merge_text(theirs)
    return by_identity(ours)


@good("good-tips-joined")
def _():
    ours, theirs = branches()
    ours.merge_text(theirs)
    ours.commit([ours.set("mail", {"secret": b"3"})], {4: [change(0, "mail", fields=["secret"])]})
    return by_identity(ours)


@good("good-nine-tips")
def _():
    base = start()
    sides = [base.fork() for _ in range(9)]
    for number, side in enumerate(sides):
        side.commit([side.set(f"e{number}", {"secret": b"1"})])
        base.merge_text(side)
    return by_identity(base)


def in_conflict(alternatives, name="mail"):
    """Both sides changed the same page: the seal that joins them has several previous."""
    ours, theirs = branches(name, name)
    tip = theirs.tips()[0]
    ours.merge_text(theirs)
    ours.commit([ours.set(name, {"secret": b"1"}, alternatives=alternatives(tip))], {4: [change(3, name, fields=["secret"])]})
    return by_identity(ours)


@good("good-conflict-of-everything")
def _():
    return in_conflict(lambda tip: [
        ({1: tip, 3: {"url": None, "user": "ann"}, 4: {"secret": [0, 0], "pin": None}, 5: None}, {"secret": b"2"}),
        ({1: tip, 2: "post", 5: 7}, {})])


@good("good-conflict-removed")
def _():
    return in_conflict(lambda tip: [({1: tip, 6: True}, {})])


@good("good-merge-without-conflict")
def _():
    return in_conflict(lambda tip: [])


@good("good-compacted")
def _():
    vault = basic()
    dropped = [[one, links[3]] for one, links in sorted(vault.plain.items(), key=lambda pair: pair[1][3])]
    records = [[one, generation, {1: 10 + generation, 2: "ann", 4: [change(0, f"n{generation}", fields=["secret"])]}] for one, generation in dropped]
    vault.restart("smaller", {7: records})
    return by_identity(vault)


@good("good-compacted-and-changed")
def _():
    vault = basic()
    vault.restart()
    vault.commit([vault.set("mail", {"secret": b"1"})], {4: [change(0, "mail", fields=["secret"])]})
    return by_identity(vault)


@good("good-rotated")
def _():
    vault = basic()
    vault.new_master_key()
    vault.wrap_again()
    vault.entries, vault.epoch = {}, 1
    vault.set("github/token", {"secret": b"new"})
    vault.write_roster()
    vault.restart("bob left")
    return by_identity(vault)


@good("good-highest-generation")
def _():
    vault = basic()
    vault.commit([0, 1 + vault.page_of(vault.entry_id("github/token")), 1 + vault.page_of(vault.entry_id("aws/key"))],
                 restart=True, dropped=(1 << 53) - 1)
    return by_identity(vault)


@good("good-machine-key-older-than-vault")
def _():
    vault = basic(kind="machine")
    return Made(vault.text(), **{"machine-key": vault.machine_key(vault.ann, 1)})


@good("good-replaces-in-a-later-seal")
def _():
    vault = start()
    vault.commit([vault.set("mail", {"secret": b"1"})], {6: [bytes(16), bytes(15) + b"\1"], 7: [[bytes(16), 4, {1: 3, 2: "", 3: "was"}]]})
    return by_identity(vault)


# --- Refused: the text, which anybody could write ------------------------------------------------------------------------------------


def textual(name, rule, edit):
    def make():
        vault = basic()
        text = edit(vault.text())
        assert text != vault.text(), name
        return by_identity(vault, text)
    refused(f"text-{name}", rule)(make)


def first(old, new):
    def edit(text):
        assert old in text, old
        return text.replace(old, new, 1)
    return edit


def on_line(start, edit):
    """Edits the first line that starts so, without its newline."""
    def apply(text):
        lines = text.split(b"\n")
        at = next(n for n, line in enumerate(lines) if line.startswith(start))
        lines[at] = edit(lines[at])
        return b"\n".join(lines)
    return apply


ENTRY = "Pages and entries: an entry line is <entry id> <meta> <secrets>"
textual("empty", "The file: the header", lambda text: b"")
textual("no-last-newline", "The file: every line ends in a newline", lambda text: text[:-1])
textual("carriage-returns", "The file: no carriage return", lambda text: text.replace(b"\n", b"\r\n"))
textual("byte-order-mark", "The file: printable ASCII", lambda text: b"\xef\xbb\xbf" + text)
textual("version-2", "The file: vault/1", first(b"vault/1 ", b"vault/2 "))
textual("512-pages", "The file: 256 or 4096 pages", first(b"vault/1 256", b"vault/1 512"))
textual("pages-with-leading-zero", "The file: 256 or 4096 pages", first(b"vault/1 256", b"vault/1 0256"))
textual("trailing-space", "The file: no white space but as shown", first(b"slots\n", b"slots \n"))
textual("two-spaces", "The file: no white space but as shown", first(b"log 00\n", b"log  00\n"))
textual("capital-section", "The file: lower-case hex", first(b"log 0a\n", b"log 0A\n"))
textual("capital-hex", "Conventions: lower-case hex", on_line(b"id ", lambda line: b"id " + line[3:].upper()))
textual("fourth-blank-line", "The file: exactly three blank lines", first(b"log 00\n", b"\nlog 00\n"))
textual("comment", "The file: no comment", first(b"log 00\n", b"# comment\nlog 00\n"))
textual("section-missing", "The file: all sections are present", first(b"log 7f\n", b""))
textual("page-missing", "The file: all pages are present", first(b"page 7f\n", b""))
textual("section-doubled", "The file: no section twice", first(b"log 7f\n", b"log 7f\nlog 7f\n"))
textual("sections-swapped", "The file: sections in ascending order", first(b"log 7e\nlog 7f\n", b"log 7f\nlog 7e\n"))
textual("after-the-end", "The file: nothing after the last page", lambda text: text + b"x\n")
textual("blank-at-the-end", "The file: nothing after the last page", lambda text: text + b"\n")
textual("conflict-markers", "The file: its lines", first(b"log 7f\n", b"<<<<<<< ours\nlog 7f\n=======\nlog 7f\n>>>>>>> theirs\n"))
textual("base64-padded", "Conventions: base64 without padding", on_line(b"roster ", lambda line: line + b"="))
textual("base64-url-alphabet", "Conventions: the standard alphabet", on_line(b"roster ", lambda line: line[:-4] + b"-_-_"))
textual("number-of-blob-with-zero", "Conventions: decimal", first(b" 0 ", b" 00 "))
textual("chunks-zero", "Attachments: blob lines follow the file line", on_line(b"file ", lambda line: line[:-1] + b"0"))
textual("chunks-over-limit", "Limits: 21,846 chunks", on_line(b"file ", lambda line: line[:-1] + b"21847"))
textual("chunk-missing", "Attachments: all blob lines follow", lambda text: b"".join(
    line for line in text.splitlines(keepends=True) if not line.startswith(b"blob ")))
textual("no-roster", "The file: one roster", lambda text: b"".join(
    line for line in text.splitlines(keepends=True) if not line.startswith(b"roster ")))
textual("no-table-head", "The file: one head", lambda text: text[: text.index(b"head ")] + text[text.index(b"slot ") :])
textual("header-line-over-16-kib", "Limits: header line", on_line(b"id ", lambda line: line + b"0" * 16_384))
textual("flipped-tag", "When a file verifies, 1: every head's tag is right", on_line(b"head ", lambda line: line[:-1] + (b"0" if line[-1:] != b"0" else b"1")))


def seal_lines(text):
    return [line for line in text.splitlines(keepends=True) if line.startswith(b"seal ")]


textual("seal-twice", "Log: no id stands twice", lambda text: text.replace(b"log fe\n", b"log fe\n" + seal_lines(text)[0]))
textual("seal-in-another-section", "When a file verifies, 2: the section is the right one", lambda text: text.replace(
    seal_lines(text)[0], b"").replace(b"log fe\n", b"log fe\n" + seal_lines(text)[0]))


def seal_missing(generation):
    vault = basic()
    gone = next(one for one, links in vault.plain.items() if links[3] == generation)
    return by_identity(vault, vault.text().replace(vault.seals[gone][1].encode(), b""))


refused("text-newest-seal-missing", "When a file verifies, 3: the head names the last seal", lambda: seal_missing(3))
refused("text-middle-seal-missing", "When a file verifies, 2: all parents are in the log", lambda: seal_missing(2))
refused("text-first-seal-missing", "When a file verifies, 2: exactly one seal has no parents", lambda: seal_missing(1))


@refused("text-bare-page-with-head", "When a file verifies, 3: no seal lists the place, so it has no head")
def _():
    vault = basic()
    vault.heads[256] = bytes(16), vault.tag(256, bytes(16))
    return by_identity(vault)


@refused("text-entry-without-head", "The file: a page with lines has a head")
def _():
    vault = basic()
    older = vault.fork()
    vault.commit([vault.set("mail", {"secret": b"1"})])
    older.entries = vault.entries
    return by_identity(vault, older.text())


@refused("text-older-page", "When a file verifies, 3: the head names the last seal")
def _():
    vault = basic()
    older = vault.fork()
    vault.commit([vault.set("github/token", {"secret": b"newer"})])
    page = vault.page_of(vault.entry_id("github/token"))
    vault.entries[page], vault.heads[1 + page] = older.entries[page], older.heads[1 + page]
    return by_identity(vault)


@refused("text-older-slot-table", "When a file verifies, 3: the head names the last seal")
def _():
    vault = basic()
    older = vault.fork()
    vault.write_roster()
    vault.commit([0])
    vault.roster, vault.heads[0] = older.roster, older.heads[0]
    return by_identity(vault)


@refused("text-merged-without-key", "When a file verifies, 3: exactly one member is named as previous by no other")
def _():
    ours, theirs = branches("mail", "mail")
    ours.merge_text(theirs)
    return by_identity(ours)


@refused("text-files-out-of-order", "The file: file lines in order of blob id")
def _():
    vault = start()
    vault.commit([vault.set("n", {"one": [b"1"], "two": [b"2"]})])
    page = vault.page_of(vault.entry_id("n"))
    lines = vault.entries[page][vault.entry_id("n")]
    lines[1:] = lines[3:] + lines[1:3]
    vault.commit([1 + page])
    return by_identity(vault)


@refused("text-chunks-swapped", "Attachments: the nonce of a chunk is its number")
def _():
    vault = start()
    vault.commit([vault.set("n", {"secret": [b"a" * 150_000]})])
    page = vault.entries[vault.page_of(vault.entry_id("n"))][vault.entry_id("n")]
    bodies = [text.rpartition(" ") for _, text in page[2:]]
    page[2], page[3] = (False, "".join(bodies[0][:2]) + bodies[1][2]), (False, "".join(bodies[1][:2]) + bodies[0][2])
    return by_identity(vault)


@refused("text-entry-in-another-page", "Pages and entries: the id's first digits are the page")
def _():
    vault = basic()
    vault.commit([vault.set("mail", {"secret": b"1"}, page=(vault.page_of(vault.entry_id("mail")) + 1) % 256)])
    return by_identity(vault)


def slot_line(name, rule, edit):
    def make():
        vault = basic()
        edit(vault)
        vault.write_roster()
        vault.commit([0])
        return by_identity(vault)
    refused(f"slot-{name}", rule)(make)


def further(kind, text):
    return lambda vault: vault.slots[vault.add_slot("bob", kind=kind)].__setitem__(2, text)


def phrase(old, new):
    def edit(vault):
        slot = vault.add_slot("phrase", "passphrase", PHRASE)
        vault.slots[slot][2] = replaced(old, new)(vault.slots[slot][2])
    return edit


slot_line("label-twice", "Key slots: labels are unique", lambda vault: vault.add_slot("ann"))
slot_line("label-too-long", "Key slots: label", lambda vault: vault.add_slot("l" * 65))
slot_line("label-character", "Key slots: label", lambda vault: vault.add_slot("b/b"))
slot_line("kind-capital", "Key slots: kind", lambda vault: vault.add_slot("bob", kind="Age"))
slot_line("age-with-more-fields", "Key slots: kind age has no further fields", lambda vault: vault.slots[vault.ann].__setitem__(2, " m=1"))
slot_line("passphrase-without-fields", "Key slots: fields of kind passphrase", lambda vault: vault.add_slot("bob", kind="passphrase"))
slot_line("unknown-kind-empty-field", "Key slots: further fields of unknown kinds", further("tpm2", " a="))
slot_line("unknown-kind-two-spaces", "Key slots: further fields are separated by one space", further("tpm2", "  a=b"))
slot_line("line-over-16-kib", "Limits: slot line", further("tpm2", " a=" + "b" * 16_384))
slot_line("age-file-over-8-kib", "Limits: age file of a slot", lambda vault: vault.slots[vault.ann].__setitem__(1, bytes(8193)))
slot_line("65-slots", "Limits: slots", lambda vault: [vault.add_slot(f"l{n}", kind="later") for n in range(64)])
slot_line("memory-over-32-bits", "Key slots: m is a number of 32 bits", phrase("m=19456", "m=4294967296"))
slot_line("memory-with-leading-zero", "Conventions: decimal", phrase("m=19456", "m=019456"))
slot_line("salt-of-19-bytes", "Key slots: salt has 16 bytes", phrase(" identity", "AAAA identity"))

# --- Refused: sealed with the key, and wrong ------------------------------------------------------------------------------------------


def entry(name, rule, entry_name="mail", fields=None, **more):
    def make():
        vault = basic()
        vault.commit([vault.set(entry_name, {"secret": b"1"} if fields is None else fields, **more)])
        return by_identity(vault)
    refused(f"entry-{name}", rule)(make)


def seal(name, rule, links=None, changes=None, **more):
    def make():
        vault = basic()
        hooks = {**({"edit_links": links} if links else {}), **({"edit_changes": changes} if changes else {})}
        vault.commit([vault.set("mail", {"secret": b"1"})], **hooks, **more)
        return by_identity(vault)
    refused(f"seal-{name}", rule)(make)


NAME = cbor("mail")
PADDING, CBOR = "Sealing: padding", "Conventions: deterministic CBOR"
entry("padding-not-zero", PADDING, edit_padded=lambda data: data[:-1] + b"\1")
entry("padding-too-long", PADDING, edit_padded=lambda data: data + bytes(64))
entry("padding-too-short", PADDING, edit_padded=lambda data: data[:-1])
entry("length-too-long", PADDING, edit_padded=lambda data: b"\xff\xff\xff\xff" + data[4:])
entry("nothing-sealed", PADDING, edit_padded=lambda data: b"")
for name, edit in (
    ("bytes-after-the-end", lambda data: data + b"\0"),
    ("ends-too-early", lambda data: data[:-1]),
    ("empty", lambda data: b""),
    ("key-not-shortest", replaced(b"\1" + NAME, b"\x18\1" + NAME)),
    ("length-not-shortest", replaced(NAME, b"\x78\4mail")),
    ("length-of-8-bytes", replaced(NAME, b"\x7b\0\0\0\0\0\0\0\4mail")),
    ("indefinite-text", replaced(NAME, b"\x7f\x64mail\xff")),
    ("indefinite-map", lambda data: b"\xbf" + data[1:] + b"\xff"),
    ("tag", replaced(NAME, b"\xc0" + NAME)),
    ("negative", replaced(NAME, b"\x24")),
    ("float", replaced(NAME, b"\xf9\0\0")),
    ("undefined", replaced(NAME, b"\xf7")),
    ("not-utf8", replaced(NAME, b"\x64ma\xff\xfe")),
    ("surrogate", replaced(NAME, b"\x63\xed\xa0\x80")),
    ("nested", replaced(NAME, b"\x81" * 40 + b"\0")),
    ("huge-count", lambda data: b"\x9b" + b"\xff" * 8),
    ("map-of-huge-count", lambda data: b"\xbb" + b"\xff" * 8),
    ("text-of-huge-length", replaced(NAME, b"\x7b" + b"\xff" * 8)),
    ("key-twice", lambda data: b"\xa5" + data[1:] + data[-6:]),
    ("keys-descending", lambda data: b"\xa4" + data[-6:] + data[1:-6]),
):
    entry(f"cbor-{name}", CBOR, edit_cbor=edit)
META, SECRETS = "Pages and entries: meta", "Pages and entries: secrets"
entry("unknown-meta-member", META, meta=member(8, 0))
entry("unknown-secrets-member", SECRETS, secrets=member(3, 0))
entry("attributes-empty", META, meta=member(2, {}))
entry("attribute-without-name", META, meta=member(2, {"": "v"}))
entry("attribute-too-long", "Limits: attribute's value", meta=member(2, {"k": "v" * 8193}))
entry("attributes-257", "Limits: attributes", meta=member(2, {f"{n}": "" for n in range(257)}))
entry("attribute-with-nul", "Pages and entries: text", meta=member(2, {"a\0": "v"}))
entry("fields-65", "Limits: fields", fields={f"{n}": b"" for n in range(65)})
entry("field-name-129", "Limits: field's name", fields={"f" * 129: b""})
entry("fields-empty", META, fields={}, meta=member(3, {}))
entry("name-with-nul", "Pages and entries: name", entry_name="a\0b")
entry("name-1025", "Limits: name", entry_name="n" * 1025)
entry("name-empty", "Pages and entries: name", entry_name="")
entry("field-kind-2", "Pages and entries: field-info", meta=member(3, {"secret": [2, 0]}))
entry("field-info-short", "Pages and entries: field-info", meta=member(3, {"secret": [0]}))
entry("created-not-a-number", META, meta=member(4, True))
entry("modified-missing", META, meta=without(5))
entry("alternatives-empty", META, meta=member(7, []))
entry("alternative-removed-false", META, alternatives=[({1: bytes(16), 6: False}, {})])
entry("alternatives-65", "Limits: alternatives", alternatives=[({1: bytes(16)}, {})] * 65)
entry("value-is-text", SECRETS, secrets=member(1, {"secret": "text"}))
entry("value-too-long", "Limits: inline value", fields={"secret": b"v" * 16_385})
entry("attachment-of-two-parts", SECRETS, secrets=member(1, {"secret": [bytes(16), bytes(32)]}))
ITSELF = "Pages and entries: what a reader checks"
entry("of-another-name", ITSELF, meta=member(1, "mail2"))
entry("kind-differs", ITSELF, meta=member(3, {"secret": [1, 0]}))
entry("field-missing", ITSELF, secrets=lambda members: {})
entry("field-differs", ITSELF, meta=member(3, {"pin": [0, 0]}))
entry("field-without-info", ITSELF, secrets=member(1, {"secret": b"", "pin": b""}))
entry("alternative-without-values", ITSELF, meta=member(7, [{1: bytes(16)}]))
entry("values-without-alternative", ITSELF, secrets=member(2, [{}]))
entry("alternative-null-with-value", ITSELF, alternatives=[({1: bytes(16), 4: {"secret": None}}, {"secret": b""})])
entry("alternative-value-missing", ITSELF, alternatives=[({1: bytes(16), 4: {"secret": [0, 0]}}, {})])
entry("attachment-without-file", ITSELF, fields={"secret": [b"1"]}, drop_blob=True)
entry("file-without-attachment", ITSELF, fields={"secret": [b"1"]}, extra_blob=True)
ATTACHMENT = "Attachments: what a reader checks"


def length(count):
    return lambda members: {1: {"secret": [*members[1]["secret"][:2], count]}}


entry("attachment-chunk-too-many", ATTACHMENT, fields={"secret": [b"1" * 49_152]}, edit_attachment=lambda data: data + bytes(64))
entry("attachment-last-chunk-long", ATTACHMENT, fields={"secret": [b"1"]}, edit_attachment=lambda data: data + bytes(64))
entry("attachment-last-chunk-short", ATTACHMENT, fields={"secret": [b"1" * 70]}, edit_attachment=lambda data: data[:-64])
entry("attachment-padding", ATTACHMENT, fields={"secret": [b"1"]}, edit_attachment=lambda data: data[:-1] + b"\1")
entry("attachment-length-less", ATTACHMENT, fields={"secret": [b"12"]}, secrets=length(1))
entry("attachment-length-over-limit", "Limits: attachment", fields={"secret": [b"12"]}, secrets=length((1 << 30) + 1))
entry("attachment-length-of-more-chunks", ATTACHMENT, fields={"secret": [b"12"]}, secrets=length(1 << 30))
entry("attachment-key", ATTACHMENT, fields={"secret": [b"1"]}, secrets=lambda members: {1: {"secret": [members[1]["secret"][0], bytes(32), 1]}})
entry("attachment-twice-with-two-lengths", ITSELF, fields={"secret": [b"1"]},
      alternatives=[({1: bytes(16), 4: {"secret": [1, 0]}}, {})],
      secrets=lambda members: {**members, 2: [{"secret": [*members[1]["secret"][:2], 2]}]})

LOG, RULE2, RULE3 = "Log: links", "When a file verifies, 2", "When a file verifies, 3"
seal("padding-of-links", PADDING, links_edits={"edit_padded": lambda data: data + bytes(64)})
seal("padding-of-changes", PADDING, changes_edits={"edit_padded": lambda data: data[:-1] + b"\1"})
seal("unknown-links-member", LOG, member(6, True))
seal("of-another-id", RULE2 + ": the inner id is the line's", member(1, bytes(16)))
seal("parent-missing", RULE2 + ": all parents are in the log", member(2, [bytes(16)]))
seal("second-root", RULE2 + ": exactly one seal has no parents", lambda links: {**links, 2: [], 3: 1})
seal("second-root-restart", RULE2 + ": exactly one seal has no parents", lambda links: {**links, 2: [], 5: True})
seal("generation-low", RULE2 + ": generation", member(3, 3))
seal("generation-high", RULE2 + ": generation", member(3, 5))
seal("generation-zero", "Log: generation", member(3, 0))
seal("generation-2-53", "Limits: generation", member(3, 1 << 53))
seal("restart-with-parents", RULE2 + ": a restart has no parents", member(5, True))
seal("restart-false", LOG, member(5, False))
seal("places-empty", LOG, member(4, []))
seal("place-of-two-parts", LOG, last_place(lambda one: one.pop()))
seal("tag-of-31-bytes", LOG, last_place(lambda one: one.__setitem__(2, bytes(31))))
seal("parent-of-15-bytes", LOG, member(2, [bytes(15)]))
seal("places-descending", LOG, lambda links: {**links, 4: links[4] + [[0, [], bytes(32)]]})
seal("place-twice", LOG, lambda links: {**links, 4: links[4] * 2})
seal("parent-twice", LOG, lambda links: {**links, 2: links[2] * 2})
seal("parents-1025", "Limits: parents", lambda links: {**links, 2: [n.to_bytes(16) for n in range(1025)]})
seal("in-slots-section", RULE2 + ": the section is the right one", section=0)
seal("in-later-section", RULE2 + ": the section is the right one", section=255)
seal("page-256-of-256", "Log: a seal lists no page that the file does not have", lambda links: {**links, 4: links[4] + [[257, [], bytes(32)]]})
seal("place-65536", "Log: a seal lists no page that the file does not have", lambda links: {**links, 4: links[4] + [[65_536, [], bytes(32)]]})
seal("previous-missing", RULE3 + ": every previous is in S", last_place(lambda one: one.__setitem__(1, [bytes(16)])))
seal("tag-differs", RULE3 + ": the tag is the head's", last_place(lambda one: one.__setitem__(2, bytes(32))))
seal("place-without-head", RULE3 + ": the head names the last seal", lambda links: {**links, 4: links[4] + [[256, [], bytes(32)]]})


@refused("seal-previous-of-another-place", RULE3 + ": every previous is in S")
def _():
    vault = basic()
    root = next(one for one, links in vault.plain.items() if links[3] == 1)
    vault.commit([vault.set("mail", {"secret": b"1"})], edit_links=last_place(lambda one: one.__setitem__(1, [root])))
    return by_identity(vault)


@refused("seal-previous-forgotten", RULE3 + ": exactly one last seal")
def _():
    vault = basic()
    vault.commit([vault.set("github/token", {"secret": b"2"})], edit_links=last_place(lambda one: one.__setitem__(1, [])))
    return by_identity(vault)


@refused("seal-previous-not-older", RULE3 + ": a previous has a lower generation")
def _():
    vault = basic()
    other = vault.fork()
    vault.commit([vault.set("github/token", {"secret": b"2"})])
    newest = vault.tips()[0]
    other.commit([other.set("github/token", {"secret": b"3"})],
                 edit_links=last_place(lambda one: one.__setitem__(1, sorted(one[1] + [newest]))))
    other.merge_text(vault)
    return by_identity(vault, other.text())


@refused("seal-parents-descending", LOG)
def _():
    ours, theirs = branches()
    ours.merge_text(theirs)
    ours.commit([ours.set("mail", {"secret": b"2"})], edit_links=lambda links: {**links, 2: links[2][::-1]})
    return by_identity(ours)


@refused("seal-previous-descending", LOG)
def _():
    ours, theirs = branches("mail", "mail")
    ours.merge_text(theirs)
    ours.commit([ours.set("mail", {"secret": b"2"})], edit_links=last_place(lambda one: one[1].sort(reverse=True)))
    return by_identity(ours)


@refused("seal-first-of-generation-2", RULE2 + ": generation")
def _():
    vault = Writer()
    vault.ann = vault.add_slot("ann")
    vault.write_roster()
    vault.commit([0], edit_links=member(3, 2))
    return by_identity(vault)


CHANGES = "Log: changes"


def changed(*changes):
    return member(4, list(changes))


def record(generation, one, **more):
    return [one * 16, generation, {1: 0, 2: "ann", **{int(key[1:]): value for key, value in more.items()}}]


seal("unknown-changes-member", CHANGES, None, member(8, 0))
seal("changes-empty-list", CHANGES, None, changed())
seal("change-op-5", CHANGES, None, changed({1: 5, 2: "n"}))
seal("change-fields-empty", CHANGES, None, changed({1: 0, 2: "n", 4: []}))
seal("change-fields-descending", CHANGES, None, changed({1: 0, 2: "n", 4: ["b", "a"]}))
seal("change-fields-by-length", CHANGES, None, changed({1: 0, 2: "n", 4: ["b", "aa"]}))
seal("change-attributes-twice", CHANGES, None, changed({1: 0, 2: "n", 3: ["a", "a"]}))
seal("change-attribute-empty", "Pages and entries: text", None, changed({1: 0, 2: "n", 3: [""]}))
seal("change-field-129", "Limits: field's name", None, changed({1: 0, 2: "n", 4: ["f" * 129]}))
seal("change-field-with-nul", "Pages and entries: text", None, changed({1: 0, 2: "n", 4: ["f\0"]}))
seal("change-name-1025", "Limits: name", None, changed({1: 0, 2: "n" * 1025}))
seal("change-unknown-member", CHANGES, None, changed({1: 0, 2: "n", 7: 0}))
seal("rename-without-new-name", CHANGES, None, changed({1: 2, 2: "n"}))
seal("set-with-new-name", CHANGES, None, changed({1: 0, 2: "n", 5: "m"}))
seal("expiry-false", CHANGES, None, changed({1: 0, 2: "n", 6: False}))
seal("author-257", "Limits: author", None, member(2, "a" * 257))
seal("reason-empty", CHANGES, None, member(3, ""))
seal("reason-1025", "Limits: reason", None, member(3, "r" * 1025))
seal("replaces-descending", CHANGES, None, member(6, [b"b" * 16, b"a" * 16]))
seal("replaces-empty", CHANGES, None, member(6, []))
seal("slot-op-4", CHANGES, None, member(5, [[4, bytes(16)]]))
seal("slot-change-of-one-part", CHANGES, None, member(5, [[0]]))
seal("records-descending", CHANGES, None, member(7, [record(2, b"a"), record(1, b"b")]))
seal("records-descending-by-id", CHANGES, None, member(7, [record(1, b"b"), record(1, b"a")]))
seal("record-with-records", CHANGES, None, member(7, [record(1, b"b", _7=[record(1, b"a")])]))
seal("record-of-wrong-change", CHANGES, None, member(7, [record(1, b"b", _4=[{1: 2, 2: "n"}])]))


def roster(name, rule, edit):
    def make():
        vault = basic()
        vault.write_roster(edit)
        vault.commit([0])
        return by_identity(vault)
    refused(f"roster-{name}", rule)(make)


roster("of-another-slot", "Roster: member 2 has exactly the slots' ids", lambda members: {**members, 2: {bytes(16): [0, "", 0]}})
roster("of-one-slot-more", "Roster: member 2 has exactly the slots' ids", lambda members: {**members, 2: {**members[2], bytes(16): [0, "", 0]}})
roster("empty", "Roster: member 2", member(2, {}))
roster("removed-empty", "Roster: member 3", member(3, []))
roster("removed-257", "Roster: at most 256 removed", member(3, [[bytes(16), "age", "l", "r", 0, "", 0]] * 257))
roster("unknown-member", "Roster: members", member(4, 0))
roster("author-257", "Limits: author", lambda members: {**members, 2: {slot: [0, "a" * 257, 0] for slot in members[2]}})

# --- Denied, and machine keys ---------------------------------------------------------------------------------------------------------

DENIED = "Keys: no slot opened"


def wrapped(name, edit):
    def make():
        return by_identity(basic(edit_wrapped=edit))
    denied(f"denied-wrapped-{name}", "Key slots: the 109 bytes")(make)


def flipped(at):
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


wrapped("label", flipped(0))
wrapped("uuid", flipped(13))
wrapped("commitment", flipped(29))
wrapped("slot-id", flipped(61))
wrapped("master-key", flipped(108))
wrapped("too-long", lambda data: data + b"\0")
wrapped("too-short", lambda data: data[:-1])


@denied("denied-another-identity", DENIED)
def _():
    return Made(basic().text(), identity=str(pyrage.x25519.Identity.generate()))


@denied("denied-not-an-identity", DENIED)
def _():
    return Made(basic().text(), identity=b"AGE-SECRET-KEY-1NOT\n")


@denied("denied-wrong-passphrase", DENIED)
def _():
    return Made(basic(kind="passphrase", passphrase=PHRASE).text(), passphrase=PHRASE + b"!")


@denied("denied-long-passphrase", "Limits: passphrase")
def _():
    return Made(basic(kind="passphrase", passphrase=PHRASE).text(), passphrase=b"p" * 4097)


@denied("denied-identity-of-another-recipient", "Key slots: the identity's recipient is the line's")
def _():
    vault = basic(kind="passphrase", passphrase=PHRASE, identity_inside=pyrage.x25519.Identity.generate())
    return Made(vault.text(), passphrase=PHRASE)


@denied("denied-nine-passphrase-slots", "Limits: passphrase slots tried in one unlock")
def _():
    vault = start(kind="passphrase", passphrase=PHRASE)
    for number in range(8):
        vault.add_slot(f"p{number}", "passphrase", b"other")
    vault.write_roster()
    vault.commit([0])
    return Made(vault.text(), passphrase=PHRASE)


@denied("denied-armored-age-file", "Key slots: not armored")
def _():
    vault = basic()
    identity = vault.identities[vault.ann]
    vault.slots[vault.ann][1] = pyrage.encrypt(pyrage.decrypt(vault.slots[vault.ann][1], [identity]), [identity.to_public()], armored=True)
    vault.commit([0])
    return by_identity(vault)


@denied("denied-only-unknown-kinds", "Key slots: unknown kinds are skipped")
def _():
    return by_identity(basic(kind="later"))


@denied("denied-salt-of-header", "Keys: the header's commitment")
def _():
    vault = basic()
    text = vault.text().replace(vault.salt.hex().encode(), bytes(32).hex().encode(), 1)
    return by_identity(vault, text)


for name, old, new in (("memory-low", "m=19456", "m=19455"), ("memory-high", "m=19456", "m=1048577"), ("passes-0", "t=1", "t=0"),
                       ("passes-17", "t=1", "t=17"), ("lanes-0", "p=1", "p=0"), ("lanes-17", "p=1", "p=17"),
                       ("work", "m=19456 t=1", "m=1048576 t=5"), ("memory-2-32", "m=19456", "m=4294967295")):
    def _(old=old, new=new):
        vault = start(kind="passphrase", passphrase=PHRASE)
        vault.slots[vault.ann][2] = replaced(old, new)(vault.slots[vault.ann][2])
        vault.commit([0])
        return Made(vault.text(), passphrase=PHRASE)
    denied(f"denied-cost-{name}", "Limits: Argon2id")(_)


def machine(edit):
    def make():
        vault = basic(kind="machine")
        return Made(vault.text(), **{"machine-key": edit(vault, vault.machine_key(vault.ann, 3))})
    return make


def of_another_vault(vault, key):
    other = Writer(seed=2)
    other.identities = vault.identities
    return other.machine_key(vault.ann, 1)


def of_another_master_key(vault, key):
    vault.commitment = bytes(32)
    return vault.machine_key(vault.ann, 3)


denied("denied-machine-key-mistyped", "Key slots: machine key's checksum", machine(
    lambda vault, key: key[:40] + ("A" if key[40] != "A" else "B") + key[41:]))
denied("denied-machine-key-cut", "Key slots: machine key", machine(lambda vault, key: key[:-5]))
denied("denied-machine-key-version-2", "Key slots: machine key", machine(lambda vault, key: key.replace("-1:", "-2:")))
denied("denied-machine-key-nothing", "Key slots: machine key", machine(lambda vault, key: "vault-machine-key-1:"))
refused("machine-key-of-another-vault", "Key slots: machine key's uuid", machine(of_another_vault))
refused("machine-key-of-another-master-key", "Key slots: machine key's commitment", machine(of_another_master_key))
refused("machine-key-newer-than-vault", "Key slots: machine key's generation", machine(lambda vault, key: vault.machine_key(vault.ann, 4)))

# --- Making them ----------------------------------------------------------------------------------------------------------------------


def read_with(text, how, key):
    key = key.removesuffix(b"\n")
    lines = [line for line in key.decode("ascii", "replace").splitlines() if line and not line.startswith("#")]
    try:
        if how in ("passphrase", "recovery"):
            return "ok", read(text, passphrase=key)
        return "ok", read(text, **{{"identity": "identity", "machine-key": "machine"}[how]: lines[0]})
    except Refused as error:
        return "refused", str(error)
    except Denied as error:
        return "denied", str(error)


def write(name, outcome, rule, made):
    folder = HERE / name
    keys = {how: key if isinstance(key, bytes) else key.encode() for how, key in made.keys.items()}
    found = [read_with(made.text, how, key) for how, key in keys.items()]
    assert all(one == found[0] for one in found), (name, found)
    assert found[0][0] == outcome, (name, outcome, found[0])
    expect = {"outcome": outcome, **({"vault": found[0][1]} if outcome == "ok" else {"rule": rule})}
    # Under its name only when it is whole.
    unfinished = HERE / f".{name}"
    unfinished.mkdir()
    for path, data in {"vault": made.text, "expect.json": json.dumps(expect, indent=1, sort_keys=True).encode() + b"\n", **keys}.items():
        (unfinished / path).write_bytes(data)
    os.rename(unfinished, folder)
    return found[0]


def main():
    made = 0
    for name, (outcome, rule, make) in SCENARIOS.items():
        if not (HERE / name).exists():
            said = write(name, outcome, rule, make())
            made += 1
            if outcome != "ok":
                print(f"{name}: {said[1]}")
    print(f"{made} made, {len(SCENARIOS) - made} there already")


if __name__ == "__main__":
    main()
