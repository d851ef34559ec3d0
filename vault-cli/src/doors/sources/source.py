"""Run by "vault import --from" in the user's Python: tells what a keyring holds, and removes from it what was kept elsewhere.

A message, in either direction, is a list of byte strings: their number, then each after its length, all in four bytes, the
first byte the highest. It goes through what were standard input and output; what backends print goes to standard error.
"""

import sys

# The folder that this was started in is nobody's library.
sys.path[:] = [path for path in sys.path if path]

import configparser  # noqa: E402
import getpass  # noqa: E402
import importlib  # noqa: E402
import os  # noqa: E402


class Refusal(Exception):
    """What ends a request: its kind, and what there is to say about it."""


class Item:
    """One item of a backend: how to read it, and how to remove it."""

    def __init__(self, service, username, read, remove, attributes=()):
        self.service, self.username, self.read, self.remove = service, username, read, remove
        self.attributes = dict(attributes)


def main():
    global incoming, outgoing
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    items = []
    while True:
        request = receive()
        if request is None:
            return
        try:
            if request[0] == b"read":
                read(items, *request[1:])
            else:
                remove(items[int(request[1])], request[2])
        except Refusal as refusal:
            send(*refusal.args)
        except Exception as error:
            send(*words(error))


def read(items, source, path, ask, passphrase, *pairs):
    getpass.getpass = asker(getpass.getpass, text(ask), passphrase)
    backends = opened(text(source), os.fsdecode(path))
    wanted = [(text(pairs[at]), text(pairs[at + 1])) for at in range(0, len(pairs), 2)]
    if wanted:
        found = [first(backends, *pair) for pair in wanted]
    else:
        lists = [listed(backend) for backend in backends]
        if all(part is None for part in lists):
            raise Refusal("unlisted", ", ".join(map(name, backends)))
        for backend, part in zip(backends, lists):
            if part is None:
                send("part", name(backend))
        found = [item for part in lists for item in part or ()]
    if any(is_file(backend) for backend in backends):
        send("small")
    for item in found:
        try:
            if isinstance(item, tuple):
                raise Refusal("left", "there is no such item")
            password = item.read()
            if password is None:
                raise Refusal("left", "it cannot be found by its name")
            password = password.encode("utf-8", "surrogateescape")
        except Refusal as refusal:
            send("left", *(item if isinstance(item, tuple) else (item.service, item.username)), refusal.args[1])
            continue
        except Exception as error:
            kind, why = words(error)
            if kind == "locked":
                raise
            send("left", item.service, item.username, why)
            continue
        attributes = [part for pair in sorted(item.attributes.items()) for part in pair]
        send("item", str(len(items)), item.service, item.username, password, *attributes)
        items.append(item)
    send("done", ", ".join(map(name, backends)))


def remove(item, password):
    now = item.read()
    if now is None or now.encode("utf-8", "surrogateescape") != password:
        raise Refusal("left", "it was changed meanwhile")
    item.remove()
    try:
        gone = item.read() is None
    except Exception:
        gone = True
    if not gone:
        raise Refusal("left", "the backend did not remove it")
    send("removed")


def asker(real, allowed, passphrase):
    """What backends ask for passphrases by."""
    if passphrase:
        return lambda *_, **__: text(passphrase[1:])
    if allowed == "ask":
        return real

    def refuse(*_, **__):
        raise Refusal("locked", "it asks for a passphrase, and nobody can be asked")

    return refuse


def opened(source, path):
    """The backends of a source, the one that counts first."""
    if source == "keyring":
        keyring = wanted_module("keyring")
        from keyring.backends import chainer, fail, null

        chosen = keyring.get_keyring()
        backends = list(chosen.backends) if isinstance(chosen, chainer.ChainerBackend) else [chosen]
        others = [backend for backend in backends if type(backend).__module__ != "vault_keyring"]
        if backends and not others:
            raise Refusal("ours", name(chosen))
        others = [backend for backend in others if not isinstance(backend, (fail.Keyring, null.Keyring))]
        if not others:
            raise Refusal("none", name(chosen))
        return others
    if source == "keyrings.cryptfile":
        wanted_module("keyrings.cryptfile.cryptfile")
        from keyrings.cryptfile.cryptfile import CryptFileKeyring

        backends = [CryptFileKeyring()]
    else:
        wanted_module("keyrings.alt.file")
        from keyrings.alt import file

        kinds = [file.EncryptedKeyring, file.PlaintextKeyring]
        if path:
            kinds = [kinds[0] if is_encrypted(path) else kinds[1]]
        backends = [kind for kind in map(made, kinds) if kind is not None]
    if path:
        for backend in backends:
            backend.file_path = path
    there = [backend for backend in backends if os.path.isfile(backend.file_path)]
    if not there:
        raise Refusal("absent", ", ".join(str(backend.file_path) for backend in backends))
    return there


def made(kind):
    """A backend; None if this Python lacks what it is made with, and there is no file of its own."""
    try:
        return kind()
    except ImportError as error:
        from keyring.util import platform_

        if os.path.exists(os.path.join(platform_.data_root(), kind.filename)):
            raise Refusal("module", error.name or kind.__name__)
        return None


def wanted_module(module):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Refusal("module", error.name or module)


def is_encrypted(path):
    config = configparser.RawConfigParser()
    config.read(path, encoding="utf-8")
    return config.has_section("keyring_2Dsetting")


def is_file(backend):
    """Whether it is one of those that keep passwords in a file of sections."""
    return any(kind.__module__ in FILES for kind in type(backend).__mro__)


def listed(backend):
    """The items of a backend; None if it cannot tell them."""
    if is_file(backend):
        return items_of_file(backend)
    if type(backend).__module__ == "keyring.backends.SecretService":
        return items_of_desktop(backend)
    return None


def items_of_file(backend):
    base = next(kind.__module__ for kind in type(backend).__mro__ if kind.__module__ in FILES)
    unescape = importlib.import_module(base.replace(".file_base", ".escape")).unescape
    unlock(backend)
    config = configparser.RawConfigParser()
    config.read(backend.file_path, encoding="utf-8")
    return [
        item_of_file(backend, unescape(section), unescape(option))
        for section in config.sections()
        if section != "keyring_2Dsetting"
        for option in config.options(section)
    ]


def unlock(backend):
    """Has an encrypted file's own code ask for its passphrase. It would make a new file where there is none."""
    if not hasattr(backend, "_unlock") or not os.path.isfile(backend.file_path):
        return
    try:
        known = backend._check_file()
    except ValueError:
        known = False
    if not known:
        raise Refusal("failed", "{} is no keyring of this kind".format(backend.file_path))
    try:
        backend.keyring_key
        # Some take any passphrase as it comes, and check it at the first item.
        if backend.get_password("keyring-setting", "password reference") != "password reference value":
            raise ValueError
    except (AssertionError, ValueError):
        raise Refusal("denied", str(backend.file_path))
    except EOFError:
        raise Refusal("locked", "it asks for a passphrase, and nobody can be asked")


def item_of_file(backend, service, username):
    def read():
        try:
            return backend.get_password(service, username)
        except (AssertionError, ValueError):
            # Some bind what they seal to the name that was asked for, and the file has lost its capitals.
            raise Refusal("left", "it does not open by the user's name as the file has it, without capitals")

    return Item(service, username, read, lambda: backend.delete_password(service, username))


def items_of_desktop(backend):
    scheme = getattr(backend, "schemes", {}).get(getattr(backend, "scheme", None))
    scheme = scheme or {"service": "service", "username": "username"}
    collection = backend.get_preferred_collection()
    found = []
    for one in collection.get_all_items():
        attributes = one.get_attributes()
        service, username = attributes.pop(scheme["service"], None), attributes.pop(scheme["username"], None)
        if service is None or username is None:
            continue

        def secret(one=one):
            backend.unlock(one)
            return one.get_secret().decode("utf-8", "surrogateescape")

        found.append(Item(service, username, secret, one.delete, attributes))
    return found


def item(backend, service, username):
    return Item(
        service,
        username,
        lambda: backend.get_password(service, username),
        lambda: backend.delete_password(service, username),
    )


def first(backends, service, username):
    """The item as programs find it: in the first backend that has it."""
    for backend in backends:
        if is_file(backend):
            unlock(backend)
        if backend.get_password(service, username) is not None:
            return item(backend, service, username)
    return service, username


def name(backend):
    return "{}.{}".format(type(backend).__module__, type(backend).__qualname__)


def words(error):
    """A message about an exception. Only keyrings' own texts are repeated: others may hold what was read."""
    from keyring import errors

    if isinstance(error, (errors.KeyringLocked, errors.InitError, EOFError)):
        return "locked", str(error) or "it is locked"
    if isinstance(error, errors.KeyringError):
        return "failed", str(error) or type(error).__name__
    if isinstance(error, OSError):
        return "failed", "{}: {}".format(error.filename or type(error).__name__, error.strerror)
    return "failed", type(error).__name__


def text(data):
    return data.decode("utf-8", "surrogateescape")


def receive():
    count = incoming.read(4)
    if len(count) < 4:
        return None
    return [incoming.read(int.from_bytes(incoming.read(4), "big")) for _ in range(int.from_bytes(count, "big"))]


def send(*parts):
    parts = [part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape") for part in parts]
    outgoing.write(len(parts).to_bytes(4, "big") + b"".join(len(part).to_bytes(4, "big") + part for part in parts))
    outgoing.flush()


FILES = ("keyrings.alt.file_base", "keyrings.cryptfile.file_base")

try:
    main()
except (KeyboardInterrupt, BrokenPipeError):
    os._exit(130)
