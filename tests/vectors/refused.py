"""Refused: text that anybody could write, without any key."""

from scenarios import PHRASE, basic, branches, by_identity, refused, replaced, start


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
