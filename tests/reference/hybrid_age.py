"""age files for hybrid post-quantum recipients (age1pq1…), written from C2SP age, RFC 9180 and the X-Wing draft: pyrage lacks them.

For tests: kyber-py is not made to withstand timing attacks. Only what slots need: one chunk of payload, binary files.
"""

import base64
import hashlib
import hmac
import os
import re

import nacl.exceptions
from kyber_py.ml_kem import ML_KEM_768
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_decrypt as open_ietf
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt as seal_ietf
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

SUITE = b"HPKE\x64\x7a\x00\x01\x00\x03"
INFO = b"age-encryption.org/mlkem768x25519"
CHARS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
VERSION = b"age-encryption.org/v1\n"


class NotOpened(Exception):
    pass


def polymod(values):
    check = 1
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, part in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= part if top >> i & 1 else 0
    return check


def expanded(prefix):
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def regroup(values, width, to):
    bits = "".join(f"{value:0{width}b}" for value in values)
    return [int(bits[at : at + to].ljust(to, "0"), 2) for at in range(0, len(bits), to)], bits


def bech32(prefix, data):
    values, _ = regroup(data, 8, 5)
    check = polymod(expanded(prefix.lower()) + values + [0] * 6) ^ 1
    text = prefix.lower() + "1" + "".join(CHARS[v] for v in values + [check >> 5 * (5 - i) & 31 for i in range(6)])
    return text.upper() if prefix.isupper() else text


def unbech32(prefix, text):
    if not text.lower().startswith(prefix.lower() + "1") or any(c not in CHARS for c in text.lower()[len(prefix) + 1 :]):
        raise ValueError("not " + prefix)
    values = [CHARS.index(c) for c in text.lower()[len(prefix) + 1 :]]
    _, bits = regroup(values[:-6], 5, 8)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8))
    if bech32(prefix, data) != text:
        raise ValueError("not canonical")
    return data


def hmac256(key, message):
    return hmac.digest(key, message, "sha256")


def hkdf(secret, salt, info):
    return hmac256(hmac256(salt, secret), info + b"\x01")


def extract(salt, label, secret):
    return hmac256(salt, b"HPKE-v1" + SUITE + label + secret)


def expand(key, label, info, length):
    return hmac256(key, length.to_bytes(2) + b"HPKE-v1" + SUITE + label + info + b"\x01")[:length]


def schedule(shared):
    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", INFO)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)


def combined(mlkem, x25519, sent, public):
    return hashlib.sha3_256(mlkem + x25519 + sent + public + b"\\.//^\\").digest()


class Recipient:
    def __init__(self, data):
        self.data = data

    def __str__(self):
        return bech32("age1pq", self.data)

    def stanza(self, file_key):
        mlkem, ciphertext = ML_KEM_768.encaps(self.data[:1184])
        ephemeral = os.urandom(32)
        sent, public = crypto_scalarmult_base(ephemeral), self.data[1184:]
        key, nonce = schedule(combined(mlkem, crypto_scalarmult(ephemeral, public), sent, public))
        body = b64(seal_ietf(file_key, b"", nonce, key))
        return f"-> mlkem768x25519 {b64(ciphertext + sent)}\n{body}\n".encode()


class Identity:
    def __init__(self, seed):
        self.seed = seed
        parts = hashlib.shake_256(seed).digest(96)
        self.public, self.mlkem = ML_KEM_768.key_derive(parts[:64])
        self.x25519 = parts[64:]

    @classmethod
    def generate(cls):
        return cls(os.urandom(32))

    @classmethod
    def from_str(cls, text):
        seed = unbech32("AGE-SECRET-KEY-PQ-", text)
        if len(seed) != 32:
            raise ValueError("not 32 bytes")
        return cls(seed)

    def __str__(self):
        return bech32("AGE-SECRET-KEY-PQ-", self.seed)

    def to_public(self):
        return Recipient(self.public + crypto_scalarmult_base(self.x25519))

    def file_key(self, argument, body):
        sent = argument[1088:]
        try:
            x25519 = crypto_scalarmult(self.x25519, sent)
        except nacl.exceptions.RuntimeError:
            raise NotOpened("a share of low order") from None
        mlkem = ML_KEM_768.decaps(self.mlkem, argument[:1088])
        key, nonce = schedule(combined(mlkem, x25519, sent, crypto_scalarmult_base(self.x25519)))
        return open_ietf(body, b"", nonce, key)


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def unb64(text):
    data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if b64(data) != text:
        raise NotOpened("base64 that is not canonical")
    return data


def encrypt(plain, recipient):
    file_key, nonce = os.urandom(16), os.urandom(16)
    header = VERSION + recipient.stanza(file_key) + b"---"
    mac = b64(hmac256(hkdf(file_key, b"", b"header"), header)).encode()
    payload = seal_ietf(plain, b"", bytes(11) + b"\x01", hkdf(file_key, nonce, b"payload"))
    return header + b" " + mac + b"\n" + nonce + payload


def decrypt(file, identity):
    """The plaintext of a file of one chunk; raises NotOpened for everything else."""
    end = file.find(b"\n---") + 1
    line = file.find(b"\n", end) + 1
    if not file.startswith(VERSION) or not end or not line:
        raise NotOpened("no age file")
    try:
        for head, body in re.findall(rb"-> ([^\n]+)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)", file[len(VERSION) : end]):
            words, body = head.decode().split(" "), unb64(body.replace(b"\n", b"").decode())
            if words[0] != "mlkem768x25519":
                continue
            argument = unb64(words[1])
            if len(words) != 2 or len(argument) != 1120 or len(body) != 32:
                raise NotOpened("not a stanza of this type")
            try:
                file_key = identity.file_key(argument, body)
            except nacl.exceptions.CryptoError:
                continue
            if b64(hmac256(hkdf(file_key, b"", b"header"), file[: end + 3])).encode() != file[end + 4 : line - 1]:
                raise NotOpened("the header's MAC is wrong")
            nonce, payload = file[line : line + 16], file[line + 16 :]
            return open_ietf(payload, b"", bytes(11) + b"\x01", hkdf(file_key, nonce, b"payload"))
    except (ValueError, nacl.exceptions.CryptoError) as error:
        raise NotOpened(str(error)) from None
    raise NotOpened("no stanza opened")
