"""Vaults that verify: every feature of the format."""

import unicodedata

from scenarios import Made, PHRASE, basic, branches, by_identity, change, good, replaced, start


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
