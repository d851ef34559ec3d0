"""Denied: nothing given opens a slot. And machine keys that pin another vault."""

import pyrage

from scenarios import Made, PHRASE, basic, by_identity, denied, refused, replaced, start
from vault_writer import Writer


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
