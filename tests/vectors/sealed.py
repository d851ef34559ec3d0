"""Refused: sealed with the key, and yet not as docs/format.md says."""

from scenarios import basic, branches, by_identity, last_place, member, refused, replaced, without
from vault_writer import Writer, cbor


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
