"""A backend for Python's keyring that keeps passwords in a vault.

It asks the agent that holds the vault, over its socket; without an agent it runs the ``vault`` program. It never asks a
person: a vault that is locked raises ``KeyringLocked``, and is never taken for one that lacks the password.

The agent's protocol is docs/agent-protocol.md, the names of entries are docs/keyring.md, "Items".
"""

import os
import socket
import stat
import sys

from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential
from keyring.errors import (
    InitError,
    KeyringError,
    KeyringLocked,
    PasswordDeleteError,
    PasswordSetError,
)

__all__ = ["Keyring"]


class _ClassProperty:
    """A property of the class: keyring's own has had several homes."""

    def __init__(self, getter):
        self.getter = getter

    def __get__(self, instance, owner):
        return self.getter(owner)


class Keyring(KeyringBackend):
    """Passwords in a vault.

    ``file_path`` names the vault; it can be set on the object, or by ``KEYRING_PROPERTY_FILE_PATH``. Without it,
    ``VAULT_FILE`` does, or it is the user's own vault. ``program`` names the ``vault`` program in the same ways.
    """

    file_path = None
    program = None

    @_ClassProperty
    def priority(cls):
        """What the user chose by ``vault door python``; raises if nothing was chosen.

        Whether there is a vault, or what opens it, does not count: keyring would go on to a weaker backend, and nobody
        would notice. Calls say what is missing.
        """
        chosen = _chosen()
        if chosen is None:
            raise RuntimeError("not chosen: run vault door python --enable")
        return chosen

    def get_password(self, service, username):
        try:
            found = self._find(service, username)
        except KeyringError:
            # poetry asks this to learn whether there is a keyring. Told that there is none, it would write passwords
            # in plain text; its next call is told the truth.
            if (service, username) == _PROBE_OF_POETRY:
                return None
            raise
        return found and found[1]

    def get_credential(self, service, username):
        found = self._find(service, username)
        return found and SimpleCredential(*found)

    def set_password(self, service, username, password):
        try:
            for text in (service, username, password):
                text.encode()
        except UnicodeEncodeError:
            raise PasswordSetError("what is not UTF-8 cannot be stored") from None
        if any(len(text.encode()) > _ATTRIBUTE for text in (service, username)):
            raise PasswordSetError("the service or user is too long")
        try:
            self._do("set", service, username, password)
        except (KeyringLocked, InitError):
            raise
        except KeyringError as error:
            raise PasswordSetError(str(error)) from None

    def delete_password(self, service, username):
        try:
            removed = _storable(service, username) and self._do("delete", service, username)
        except (KeyringLocked, InitError):
            raise
        except KeyringError as error:
            raise PasswordDeleteError(str(error)) from None
        if not removed:
            raise PasswordDeleteError("no such password")

    def _find(self, service, username):
        """A pair of user and password, or None."""
        if not _storable(service, username or ""):
            return None
        found = self._do("get", service, username)
        if found is None:
            return None
        username, password = found
        if password is None:
            raise KeyringError("the password is not text")
        return username, password

    def _do(self, operation, service, username, password=None):
        vault = _vault(self.file_path)
        arguments = (service, username) if password is None else (service, username, password)
        try:
            return _through_agent(vault, getattr(_Items, operation), arguments)
        except _NoAgent:
            return _through_program(_program(self.program), vault, operation, arguments)


# What the user chose.


def _chosen():
    if os.environ.get("PYTHON_KEYRING_BACKEND") == _NAME:
        return -1
    config = _xdg("XDG_CONFIG_HOME", ".config")
    lines = _lines(os.path.join(config, "python_keyring", "keyringrc.cfg"))
    # Named there, we are asked for our priority although no other is asked: it only has to be one.
    if any(line.replace(" ", "").replace(":", "=") == "default-keyring=" + _NAME for line in lines):
        return -1
    word = _lines(os.path.join(config, "vault", "python-keyring"))
    # Secret Service has 5, libsecret 4.8, keyrings.cryptfile 2.5.
    return {"fallback": 4, "prefer": 5.5}.get(word[0] if word else None)


def _lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file]
    except OSError:
        return []


def _xdg(variable, below_home):
    return os.environ.get(variable) or os.path.join(os.path.expanduser("~"), below_home)


def _vault(file_path):
    """The vault's absolute path."""
    path = file_path or os.environ.get("VAULT_FILE")
    if not path:
        data = os.environ.get("XDG_DATA_HOME") or ""
        if not os.path.isabs(data):
            data = os.path.join(os.path.expanduser("~"), ".local", "share")
        path = os.path.join(data, "vault", "default.vault")
    return os.path.abspath(os.fspath(path))


def _storable(*texts):
    """Whether an item can have this service and user at all."""
    try:
        return all(len(text.encode()) <= _ATTRIBUTE for text in texts)
    except UnicodeEncodeError:
        return False


_NAME = "vault_keyring.Keyring"
_PROBE_OF_POETRY = ("python-poetry-check", "python-poetry")


# The names of entries. docs/keyring.md, "Items".


def _entry_name(service, username):
    name = "keyring/" + _quoted(service) + "/" + _quoted(username)
    if len(name) <= 1024:
        return name
    import hashlib

    service = service.encode()
    text = len(service).to_bytes(4, "big") + service + username.encode()
    return "keyring/%" + hashlib.sha256(text).hexdigest()


def _quoted(text):
    if not text:
        return "%"
    quoted = "".join(_QUOTED[byte] for byte in text.encode())
    return "%2E" + quoted[1:] if quoted[0] == "." else quoted


_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~@:+"
_QUOTED = [chr(byte) if byte in _PLAIN else "%{:02X}".format(byte) for byte in range(256)]


def _item(meta):
    """Which service and user an entry stands for: its name says so if it is derived, else its attributes."""
    words = meta[1].split("/")
    if len(words) == 3 and words[0] == "keyring":
        from urllib.parse import unquote_to_bytes

        try:
            item = tuple("" if word == "%" else unquote_to_bytes(word).decode() for word in words[1:])
        except UnicodeDecodeError:
            item = None
        if item and _entry_name(*item) == meta[1]:
            return item
    attributes = meta.get(2, {})
    return attributes.get("service"), attributes.get("username")


# The agent.


class _NoAgent(Exception):
    """No agent holds the vault."""


class _Refused(Exception):
    """The agent's error."""

    def __init__(self, error):
        super().__init__(error.get(3, ""))
        self.id, self.exit, self.text = error.get(1), error.get(2, 1), error.get(3, "")


class _Items:
    """Items of one vault, over one connection."""

    def __init__(self, connection, vault):
        self.ask, self.vault = connection.ask, os.fsencode(vault)

    def get(self, service, username):
        if username is None:
            found = [meta for meta in self.find(service=service) if _FIELD in meta.get(3, {})]
            # The one that was changed last; of the same second, the first by name.
            found = sorted(found, key=lambda meta: (-meta[5], meta[1]))
            users = [user for item, user in map(_item, found) if item == service]
            return self.get(service, users[0]) if users else None
        entry = self.entry(_entry_name(service, username))
        if 2 not in entry:
            names = [meta[1] for meta in self.all(service, username)]
            entry = self.entry(names[0]) if names else {}
        if 2 not in entry:
            return None
        meta = _decoded(entry[1])
        if meta.get(7):
            # No version is given out as if it were the only one.
            text = '"{}" has several versions after a merge; settle it with: vault resolve'
            raise KeyringError(text.format(meta[1]))
        try:
            return username, self.value(entry[2]).decode()
        except UnicodeDecodeError:
            return username, None

    def set(self, service, username, password):
        name = _entry_name(service, username)
        fields = {_FIELD: self.storable(password.encode())}
        change = {2: fields, 3: {"service": service, "username": username}}
        if not self.ask(7, {1: self.vault, 3: name}):
            by_hand = self.all(service, username)
            if by_hand:
                name, change[5] = by_hand[0][1], [0]
        self.commit([[0, {1: name, **change}]])
        return True

    def delete(self, service, username):
        found = self.all(service, username, _entry_name(service, username))
        changes = [
            [1, meta[1]] if len(meta[3]) == 1 else [0, {1: meta[1], 2: {_FIELD: None}, 5: [0]}]
            for meta in found
        ]
        try:
            if changes:
                self.commit(changes)
        except _Refused as error:
            # Somebody else was quicker.
            if error.id not in ("entry-not-found", "field-not-found"):
                raise
            return False
        return bool(changes)

    def all(self, service, username, derived=None):
        """The metadata of every entry that is this item; the one with the derived name, if wanted, may lack attributes."""
        found = self.find(service=service, username=username)
        if derived is not None and all(meta[1] != derived for meta in found):
            meta = self.ask(7, {1: self.vault, 3: derived}).get(1)
            if meta is not None:
                found.insert(0, _decoded(meta))
        return [
            meta
            for meta in found
            if _FIELD in meta.get(3, {}) and (meta[1] == derived or _item(meta) == (service, username))
        ]

    def find(self, **attributes):
        parts = []
        self.ask(9, {1: self.vault, 3: attributes}, parts)
        return [_decoded(meta) for part in parts for meta in part[1]]

    def entry(self, name):
        return self.ask(6, {1: self.vault, 3: name, 4: _FIELD})

    def value(self, value):
        if isinstance(value, bytes):
            return value
        chunks = []
        while not chunks or chunks[-1]:
            chunks.append(self.ask(15, {1: value[0]})[1])
        return b"".join(chunks)

    def storable(self, value):
        if len(value) <= 65536:
            return value
        writes = [value[at : at + 262144] for at in range(0, len(value), 262144)] + [b""]
        writes = [(14, {1: write}) for write in writes]
        return self.ask(13, {1: self.vault, 2: 64 << 20}, follow=writes)[1]

    def commit(self, changes):
        self.ask(11, {1: self.vault, 2: _author(), 3: changes})


class _Connection:
    def __init__(self, path):
        self.stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.stream.settimeout(_PATIENCE)
            self.stream.connect(path)
            credentials = self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if int.from_bytes(credentials[4:8], sys.byteorder) != os.geteuid():
                raise OSError("the agent is another user's")
        except BaseException:
            self.stream.close()
            raise
        # It travels with the first request.
        self.unsent = _frame(0, {1: [1], 2: "python-keyring"})
        self.used = False

    def ask(self, kind, members, parts=None, follow=()):
        unsent, self.unsent = self.unsent, b""
        self.stream.sendall(unsent + _frame(kind, members) + b"".join(_frame(*frame) for frame in follow))
        if unsent:
            self.answer(None)
        return self.answer(parts)

    def answer(self, parts):
        while True:
            kind, body = self.receive()
            if kind == 0:
                self.used = True
                return body
            if kind == 1:
                self.used = True
                raise _Refused(body)
            if parts is not None:
                parts.append(body)

    def receive(self):
        length = int.from_bytes(self.exactly(4), "big")
        return _decoded(self.exactly(length))

    def exactly(self, length):
        chunks = []
        while length:
            chunk = self.stream.recv(length)
            if not chunk:
                raise ConnectionResetError("the agent closed the connection")
            chunks.append(chunk)
            length -= len(chunk)
        return b"".join(chunks)


def _through_agent(vault, operation, arguments):
    for path in _sockets():
        while True:
            # Taken out while in use: threads never share one.
            connection = _take(path)
            if connection is None:
                break
            old = connection.used
            connection.used = False
            try:
                result = operation(_Items(connection, vault), *arguments)
            except _Refused as error:
                _idle.append((path, connection))
                if error.id in ("agent-locked", "agent-replaced"):
                    break
                raise _error(error.exit, error.id, error.text) from None
            except OSError as error:
                connection.stream.close()
                # An idle connection may have been closed; its first request only reads, and so may be repeated.
                if old and not connection.used:
                    continue
                if isinstance(error, TimeoutError):
                    raise KeyringError("the agent does not answer") from None
                raise KeyringError("the agent ended: {}".format(error)) from None
            except BaseException:
                connection.stream.close()
                raise
            _idle.append((path, connection))
            return result
    raise _NoAgent


def _take(path):
    for pair in list(_idle):
        if pair[0] == path:
            try:
                _idle.remove(pair)
            except ValueError:
                continue
            return pair[1]
    if not _safe(path):
        return None
    try:
        return _Connection(path)
    except TimeoutError:
        raise KeyringError("the agent does not answer") from None
    except OSError:
        return None


def _sockets():
    if not hasattr(socket, "SO_PEERCRED"):
        return []
    named = os.environ.get("VAULT_AGENT_SOCK")
    if named:
        return [named]
    uid = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR") or ""
    folders = [runtime] if os.path.isabs(runtime) else []
    paths = [os.path.join(folder, "vault", "agent.sock") for folder in folders]
    paths += ["/run/user/{}/vault/agent.sock".format(uid), "/tmp/vault-{}/agent.sock".format(uid)]
    return list(dict.fromkeys(paths))


def _safe(path):
    """The checks of docs/agent-protocol.md, "Finding the socket"."""
    uid = os.geteuid()
    folder = os.path.dirname(path)
    named = path == os.environ.get("VAULT_AGENT_SOCK")
    try:
        socket_stat, folder_stat = os.lstat(path), os.lstat(folder)
        above = os.stat(os.path.dirname(folder) or "/")
    except OSError:
        return False
    private = stat.S_ISDIR(folder_stat.st_mode) and folder_stat.st_uid == uid and not folder_stat.st_mode & 0o077
    guarded = above.st_uid in (0, uid) and (not above.st_mode & 0o022 or above.st_mode & stat.S_ISVTX)
    ours = stat.S_ISSOCK(socket_stat.st_mode) and socket_stat.st_uid == uid
    if named and not (ours and guarded):
        raise KeyringError("VAULT_AGENT_SOCK names a place that others could have made")
    return ours and guarded and (named or private)


def _after_fork():
    # The parent goes on with these connections; two processes on one would read each other's answers.
    while _idle:
        _idle.pop()[1].stream.close()


_idle = []
_FIELD = "secret"
_ATTRIBUTE = 8192
_PATIENCE = 60
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _author():
    author = os.environ.get("VAULT_AUTHOR")
    if not author:
        user = os.environ.get("USER") or os.environ.get("LOGNAME") or "uid{}".format(os.getuid())
        author = "{}@{}".format(user, os.uname().nodename)
    return author.encode(errors="replace")[:256].decode(errors="ignore")


def _error(exit_code, error_id, text):
    if exit_code in (4, 5):
        return KeyringLocked(text)
    if error_id == "vault-not-found":
        return InitError(text)
    return KeyringError(text)


# CBOR, as much of it as the protocol has.


def _frame(kind, members):
    body = b"".join(_encoded([kind, members]))
    return len(body).to_bytes(4, "big") + body


def _encoded(value):
    if value is None:
        return [b"\xf6"]
    if isinstance(value, int):
        return [_head(0, value)]
    if isinstance(value, bytes):
        return [_head(2, len(value)), value]
    if isinstance(value, str):
        value = value.encode()
        return [_head(3, len(value)), value]
    if isinstance(value, dict):
        pairs = sorted((b"".join(_encoded(key)), _encoded(member)) for key, member in value.items())
        return [_head(5, len(pairs))] + [piece for key, member in pairs for piece in [key, *member]]
    return [_head(4, len(value))] + [piece for member in value for piece in _encoded(member)]


def _head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for more, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | more]) + number.to_bytes(size, "big")
    raise OverflowError


def _decoded(data):
    value, end = _decode(data, 0)
    if end != len(data):
        raise KeyringError("the agent's answer is not understood")
    return value


def _decode(data, at):
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if number >= 24:
        size = 1 << (number - 24)
        if number > 27:
            raise KeyringError("the agent's answer is not understood")
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return number, at
    if major in (2, 3):
        end = at + number
        value = data[at:end]
        return (value.decode() if major == 3 else value), end
    if major == 4:
        values = []
        for _ in range(number):
            value, at = _decode(data, at)
            values.append(value)
        return values, at
    if major == 5:
        members = {}
        for _ in range(number):
            key, at = _decode(data, at)
            members[key], at = _decode(data, at)
        return members, at
    if major == 7 and number in (20, 21, 22):
        return {20: False, 21: True, 22: None}[number], at
    raise KeyringError("the agent's answer is not understood")


# The program, where no agent holds the vault.


def _program(named=None):
    named = named or os.environ.get("KEYRING_PROPERTY_PROGRAM")
    if named:
        return named if os.access(named, os.X_OK) else None
    # Installed together with this module.
    beside = os.path.join(os.path.dirname(sys.executable or ""), "vault")
    if os.access(beside, os.X_OK):
        return beside
    import shutil

    return shutil.which("vault")


def _through_program(program, vault, operation, arguments):
    import json
    import subprocess

    if program is None:
        raise InitError("the program vault is not there, and no agent holds the vault")
    names = ("service", "username", "password")
    request = {name: text for name, text in zip(names, arguments) if text is not None}
    try:
        done = subprocess.run(
            [program, "--file", vault, "--json", "--no-input", "door", "answer"],
            input=json.dumps({"op": operation, **request}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise InitError("the program vault cannot be started: {}".format(error)) from None
    if done.returncode:
        told = {}
        for line in done.stderr.decode(errors="replace").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                pass
        text = told.get("text") or "vault ended with {}".format(done.returncode)
        raise _error(done.returncode, told.get("id"), text)
    answer = json.loads(done.stdout)
    if operation != "get":
        return "username" in answer
    return (answer["username"], answer.get("password")) if answer else None
