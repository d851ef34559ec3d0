"""The doors through an agent: it was unlocked once, and nothing that opens the vault is left in the environment."""

import os
import subprocess
import tempfile

import pytest
from conflict import in_conflict
from keyring.errors import KeyringError, KeyringLocked, PasswordSetError
from keyring.testing.backend import BackendBasicTests

import vault_keyring

KEY_FILE = os.environ["VAULT_MACHINE_KEY_FILE"]
PROGRAM = os.environ["KEYRING_PROPERTY_PROGRAM"]


def vault(*arguments, input=b"", check=True):
    return subprocess.run([PROGRAM, *arguments], input=input, check=check, capture_output=True)


@pytest.fixture(autouse=True)
def agent(monkeypatch):
    # Short: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        vault("unlock")
        for name in list(os.environ):
            if name.startswith("VAULT_") and name != "VAULT_FILE":
                monkeypatch.delenv(name)
        yield
        vault("agent", "stop")


class TestKeyring(BackendBasicTests):
    def init_keyring(self):
        ring = vault_keyring.Keyring()
        # Only the socket can answer.
        ring.program = "/nonexistent/vault"
        return ring


def test_the_command_uses_the_agent_until_it_is_locked():
    vault("keyring", "set", "agent", "bob", input=b"secret\n")
    assert vault("keyring", "get", "agent", "bob").stdout == b"secret\n"
    assert vault("keyring", "get", "agent", "--mode", "creds").stdout == b"bob\nsecret\n"
    assert vault("keyring", "get", "agent", "nobody", check=False).returncode == 1
    vault("lock")
    locked = vault("keyring", "get", "agent", "bob", check=False)
    assert (locked.returncode, locked.stdout) == (4, b"")
    assert len(locked.stderr.splitlines()) == 1 and b"locked" in locked.stderr


def test_both_doors_see_the_same_items():
    ring = vault_keyring.Keyring()
    ring.program = "/nonexistent/vault"
    ring.set_password("both", "u", "from python")
    assert vault("keyring", "get", "both", "u").stdout == b"from python\n"
    vault("keyring", "set", "both", "u", input=b"from the command\n")
    assert ring.get_password("both", "u") == "from the command"
    vault("keyring", "del", "both", "u")
    assert ring.get_password("both", "u") is None


def test_an_item_in_conflict_is_neither_missing_nor_one_of_its_values(tmp_path, monkeypatch):
    with monkeypatch.context() as unlocking:
        unlocking.setenv("VAULT_MACHINE_KEY_FILE", KEY_FILE)
        path = in_conflict(tmp_path, PROGRAM)
        vault("unlock", "--file", str(path))
    ring = vault_keyring.Keyring()
    ring.program, ring.file_path = "/nonexistent/vault", str(path)
    for ask in [lambda: ring.get_password("merged", "u"), lambda: ring.get_credential("merged", None)]:
        with pytest.raises(KeyringError, match="several versions"):
            ask()
    with pytest.raises(PasswordSetError, match="several versions"):
        ring.set_password("merged", "u", "third")
    done = vault("--file", str(path), "keyring", "get", "merged", "u", check=False)
    assert (done.returncode, done.stdout) == (7, b"")


def test_an_agent_that_was_locked_is_never_taken_for_a_missing_password():
    ring = vault_keyring.Keyring()
    ring.set_password("lock", "u", "p")
    vault("lock")
    with pytest.raises(KeyringLocked):
        ring.get_password("lock", "u")
