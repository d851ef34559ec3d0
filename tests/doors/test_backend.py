"""keyring's own tests of a backend, unchanged, and those of what is ours. VAULT_FILE and what unlocks it come from outside."""

import copy
import multiprocessing
import os
import subprocess
import sys
import threading

import keyring
import pytest
from conflict import in_conflict
from keyring.backends import chainer
from keyring.errors import KeyringError, KeyringLocked, PasswordDeleteError, PasswordSetError
from keyring.testing.backend import BackendBasicTests

import vault_keyring


class TestKeyring(BackendBasicTests):
    def init_keyring(self):
        return vault_keyring.Keyring()


@pytest.fixture
def ring():
    return vault_keyring.Keyring()


@pytest.fixture
def locked(monkeypatch):
    for name in list(os.environ):
        if name.startswith("VAULT_") and name != "VAULT_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    return vault_keyring.Keyring()


@pytest.mark.parametrize(
    "password",
    ["", "a\0b", "line\nline\n", "\r\n", "\u00e9e\u0301", "\U0001f511", "x" * 70_000, "ü" * 600_000],
    ids=["empty", "nul", "newlines", "crlf", "nfc and nfd", "emoji", "beyond inline", "long"],
)
def test_any_text_comes_back(ring, password):
    ring.set_password("any text", "user", password)
    assert ring.get_password("any text", "user") == password
    ring.delete_password("any text", "user")


@pytest.mark.parametrize(
    "service, user",
    [("", ""), ("\0", "\n"), ("e\u0301", "u"), ("\u00e9", "u"), ("a/b", "c"), ("a", "b/c"), ("ü" * 3000, "u"), ("..", ".")],
)
def test_any_service_and_user_is_one_of_its_own(ring, service, user):
    password = repr((service, user))
    ring.set_password(service, user, password)
    assert ring.get_password(service, user) == password
    assert ring.get_credential(service, None).username == user
    ring.delete_password(service, user)
    assert ring.get_password(service, user) is None


def test_what_cannot_be_stored_is_refused_and_never_there(ring):
    for service, user, password in [("\udcff", "u", "p"), ("s", "\udcff", "p"), ("s", "u", "\udcff"), ("s" * 8193, "u", "p")]:
        with pytest.raises(PasswordSetError):
            ring.set_password(service, user, password)
    assert ring.get_password("\udcff", "u") is None
    assert ring.get_credential("\udcff", None) is None
    with pytest.raises(PasswordDeleteError):
        ring.delete_password("\udcff", "u")


def test_a_password_that_is_no_text_is_an_error(ring):
    vault("set", "keyring/binary/u", input=b"\xff\xfe")
    with pytest.raises(KeyringError, match="not text"):
        ring.get_password("binary", "u")
    ring.delete_password("binary", "u")


def test_an_item_in_conflict_is_neither_missing_nor_one_of_its_values(ring, tmp_path):
    path = in_conflict(tmp_path, vault_keyring._program())
    ring.file_path = str(path)
    with pytest.raises(KeyringError, match="several versions"):
        ring.get_password("merged", "u")
    with pytest.raises(KeyringError, match="several versions"):
        ring.get_credential("merged", None)
    with pytest.raises(PasswordSetError, match="several versions"):
        ring.set_password("merged", "u", "third")
    command = [vault_keyring._program(), "--file", path, "keyring", "get", "merged", "u"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (7, b"", 1)
    vault("--file", str(path), "resolve", "keyring/merged/u", "--theirs")
    assert ring.get_password("merged", "u") == "theirs"


def test_an_entry_made_by_hand_is_the_item(ring):
    vault("set", "by/hand", "--attr", "service=hand", "--attr", "username=u", input=b"old")
    assert ring.get_password("hand", "u") == "old"
    assert ring.get_credential("hand", None).password == "old"
    ring.set_password("hand", "u", "new")
    assert vault("get", "by/hand") == b"new"
    vault("set", "keyring/hand/u", input=b"derived")
    assert ring.get_password("hand", "u") == "derived"
    ring.delete_password("hand", "u")
    assert ring.get_password("hand", "u") is None


def test_an_entry_with_more_fields_keeps_them(ring):
    ring.set_password("fields", "u", "p")
    vault("set", "keyring/fields/u", "--field", "other", input=b"kept")
    ring.delete_password("fields", "u")
    assert ring.get_password("fields", "u") is None
    assert vault("get", "keyring/fields/u", "other") == b"kept"
    vault("remove", "keyring/fields/u")


def test_any_user_is_the_one_that_was_changed_last(ring):
    ring.set_password("users", "b", "1")
    vault("edit", "keyring/users/b", "--attr", "note=x")
    assert ring.get_credential("users", None).username == "b"
    ring.delete_password("users", "b")
    assert ring.get_credential("users", None) is None


def test_locked_raises_and_is_never_missing(locked):
    for call in [
        lambda: locked.get_password("s", "u"),
        lambda: locked.get_credential("s", None),
        lambda: locked.set_password("s", "u", "p"),
        lambda: locked.delete_password("s", "u"),
    ]:
        with pytest.raises(KeyringLocked):
            call()
    assert locked.get_password("python-poetry-check", "python-poetry") is None


def test_a_chain_of_backends_stops_at_a_locked_vault(locked):

    class Weaker(keyring.backend.KeyringBackend):
        priority = 1
        get_password = lambda self, service, user: pytest.fail("fell through")
        set_password = lambda self, service, user, password: pytest.fail("fell through")

    class Chain(chainer.ChainerBackend):
        backends = [locked, Weaker()]

    try:
        chain = Chain()
        with pytest.raises(KeyringLocked):
            chain.get_password("s", "u")
        with pytest.raises(KeyringLocked):
            chain.set_password("s", "u", "p")
    finally:
        keyring.backend.KeyringBackend._classes -= {Weaker, Chain}


def test_the_file_is_chosen_by_attribute_and_variable(ring, tmp_path, monkeypatch):
    other = str(tmp_path / "none.vault")
    with pytest.raises(KeyringError, match="none.vault"):
        ring.with_properties(file_path=other).get_password("s", "u")
    monkeypatch.setenv("KEYRING_PROPERTY_FILE_PATH", other)
    with pytest.raises(KeyringError, match="none.vault"):
        vault_keyring.Keyring().get_password("s", "u")
    monkeypatch.setenv("KEYRING_PROPERTY_FILE_PATH", os.environ["VAULT_FILE"])
    monkeypatch.setenv("VAULT_FILE", other)
    assert vault_keyring.Keyring().get_password("s", "u") is None


def opt_in(monkeypatch, folder, word):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    path = folder / "vault" / "python-keyring"
    path.parent.mkdir()
    path.write_text(word)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    return path


def test_without_a_choice_it_is_not_viable_and_with_one_where_it_belongs(monkeypatch, tmp_path):
    path = opt_in(monkeypatch, tmp_path, "")
    cls = vault_keyring.Keyring
    assert not cls.viable
    # Whatever is missing: keyring would go on to the next backend, and that one may be weaker.
    for vault in [os.environ["VAULT_FILE"], "/nonexistent/v.vault"]:
        monkeypatch.setenv("VAULT_FILE", vault)
        for word, priority in [("fallback", 4), ("prefer", 5.5)]:
            path.write_text(word)
            assert cls.viable and cls.priority == priority
    path.unlink()
    assert not cls.viable
    with pytest.raises(RuntimeError):
        cls.priority
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "vault_keyring.Keyring")
    assert cls.viable and cls.priority == -1
    assert not any(word in cls.name.lower() for word in ["chainer", "fail", "null", "plaintext"])


# What keyring chooses, and what becomes of each call on it.
CHAIN = """
import keyring, keyring.core, keyring.errors, sys
wanted = sys.argv[1:]
keyring.core.init_backend((lambda one: type(one).__name__ in wanted) if wanted else None)
ring = keyring.get_keyring()
print(type(ring).__name__, *[type(one).__module__ for one in getattr(ring, "backends", [])])
for call in [
    lambda: keyring.set_password("chain", "u", "s3cret-in-a-chain"),
    lambda: keyring.get_password("chain", "u"),
    lambda: keyring.get_credential("chain", None),
    lambda: keyring.delete_password("chain", "u"),
]:
    try:
        print(call())
    except keyring.errors.KeyringError as error:
        print(type(error).__name__, error)
"""
MISSING = {
    "vault": ("InitError", {"VAULT_FILE": "/nonexistent/v.vault"}),
    "program": ("InitError", {"KEYRING_PROPERTY_PROGRAM": "/nonexistent/vault"}),
    "key": ("KeyringLocked", {"VAULT_MACHINE_KEY_FILE": ""}),
}


def chain(folder, *limit, **more):
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), "XDG_RUNTIME_DIR": "/nonexistent", **more}
    command = [sys.executable, "-c", CHAIN, *limit]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    written = [path.read_text() for path in (folder / "data").rglob("*") if path.is_file()]
    return done.stdout.splitlines(), written


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("word", ["fallback", "prefer"])
def test_keyring_never_goes_on_to_a_weaker_backend(monkeypatch, tmp_path, word, missing):
    opt_in(monkeypatch, tmp_path, word)
    error, changed = MISSING[missing]
    told, written = chain(tmp_path, **changed)
    # keyring's own chain, with backends that write files behind ours.
    assert told[0].startswith("ChainerBackend vault_keyring ") and "keyrings.alt.file" in told[0]
    assert [line.split()[0] for line in told[1:]] == [error] * 4
    assert written == []


def test_without_a_choice_keyring_takes_the_backend_that_is_weaker(monkeypatch, tmp_path):
    """What the test before this one would see, if ours stood aside. The other backends of that chain ask for a passphrase."""
    opt_in(monkeypatch, tmp_path, "")
    told, written = chain(tmp_path, "Keyring", "PlaintextKeyring")
    assert told[:3] == ["PlaintextKeyring", "None", "s3cret-in-a-chain"]
    assert written != []


def child(queue, ring, number):
    ring.set_password("forked", str(number), str(number))
    queue.put(ring.get_password("forked", str(number)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_survives_multiprocessing(ring, method):
    ring.set_password("forked", "parent", "p")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=child, args=(queue, ring, number)) for number in range(2)]
    for process in children:
        process.start()
    assert sorted(queue.get(timeout=60) for _ in children) == ["0", "1"]
    for process in children:
        process.join()
    for user in ["parent", "0", "1"]:
        assert ring.get_password("forked", user) is not None
        ring.delete_password("forked", user)


def test_it_survives_threads_and_copies(ring):
    failures = []

    def work(number):
        mine = copy.copy(ring)
        try:
            for turn in range(2):
                mine.set_password("threads", str(number), str(turn))
                assert mine.get_password("threads", str(number)) == str(turn)
            mine.delete_password("threads", str(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_importing_prints_nothing_and_pulls_in_little():
    code = "import keyring.backend, sys; before = set(sys.modules); import vault_keyring; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert not {"subprocess", "json", "hashlib", "ssl", "asyncio"} & set(done.stdout.split())


def vault(*arguments, input=None):
    program = vault_keyring._program()
    return subprocess.run([program, *arguments], input=input, check=True, stdout=subprocess.PIPE).stdout
