"""What scenarios are made of: the list of them, a vault to begin with, and edits of what is sealed."""

from vault_writer import Writer

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


def branches(first="mail", second="bank", pages=256):
    ours = basic(pages)
    theirs = ours.fork()
    theirs.ann = ours.ann
    ours.commit([ours.set(first, {"secret": b"1"})], {4: [change(0, first, fields=["secret"])]})
    theirs.commit([theirs.set(second, {"secret": b"2"})], {4: [change(0, second, fields=["secret"])]})
    return ours, theirs
