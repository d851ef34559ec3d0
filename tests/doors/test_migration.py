"""Passwords move from real keyrings into the vault: keyrings.alt, keyrings.cryptfile, gnome-keyring, and Python's own chain."""

import json
import os
import pty
import shutil
import subprocess
import sys
import textwrap

import pytest
from desktop import desktop

PROGRAM = os.environ["KEYRING_PROPERTY_PROGRAM"]
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home with an empty vault, where Python's keyring was never told of the vault."""
    shutil.copy(os.environ["VAULT_FILE"], tmp_path / "v.vault")
    monkeypatch.setenv("VAULT_FILE", str(tmp_path / "v.vault"))
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"]:
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    (tmp_path / "passphrase").write_text("kk\n")
    return tmp_path


def vault(*arguments, input=b"", code=0, env=None):
    done = subprocess.run(
        [PROGRAM, *arguments], input=input, env=env, capture_output=True, start_new_session=True, timeout=120
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def bring(source, *arguments, **options):
    return vault("import", "--from", source, "--python", sys.executable, *map(str, arguments), **options)


def password(service, username, env=None):
    """What the other doors see: the command, and Python's keyring with our backend."""
    done = subprocess.run([PROGRAM, "keyring", "get", service, username], capture_output=True, env=env)
    script = "import sys, vault_keyring; print(vault_keyring.Keyring().get_password(*sys.argv[1:]))"
    seen = subprocess.run([sys.executable, "-c", script, service, username], capture_output=True, env=env, check=True)
    found = done.stdout.decode()[:-1] if done.returncode == 0 else None
    assert seen.stdout.decode() == str(found) + "\n"
    return found


def python(script, *arguments, env=None):
    """Runs a script with a `ring` and a passphrase for keyrings that ask."""
    start = "import getpass, sys\ngetpass.getpass = lambda *_: 'kk'\n"
    subprocess.run([sys.executable, "-c", start + textwrap.dedent(script), *arguments], check=True, env=env)


def items(*lines, env=None):
    """What a keyring still has, asked of the keyring itself."""
    script = "import getpass, sys\ngetpass.getpass = lambda *_: 'kk'\n" + "\n".join(lines)
    return subprocess.run([sys.executable, "-c", script], check=True, env=env, capture_output=True).stdout.decode()


ALT = """
    from keyrings.alt.file import EncryptedKeyring, PlaintextKeyring
    PlaintextKeyring().set_password("https://pypi.example.org/simple/", "b\u00f6b@example", "p\u00e4ss\\nword")
    PlaintextKeyring().set_password("both", "u", "plain")
    EncryptedKeyring().set_password("both", "u", "sealed")
    EncryptedKeyring().set_password("svc", "alice", "x" * 40_000)
"""


def test_both_files_of_keyrings_alt_move_and_a_second_run_stores_nothing(home):
    python(ALT)
    dry = bring("keyrings.alt", "--dry-run", "--source-passphrase-file", home / "passphrase").stdout.decode()
    assert "store keyring/svc/alice\n" in dry and "leave both u: another one" in dry
    assert password("svc", "alice") is None

    done = bring("keyrings.alt", "--verify", "--source-passphrase-file", home / "passphrase", code=1)
    assert b"imported 3 items" in done.stderr and b"compared 3" in done.stderr
    assert b'cannot import "both u": another one' in done.stderr
    assert password("https://pypi.example.org/simple/", "b\u00f6b@example") == "p\u00e4ss\nword"
    assert password("both", "u") == "sealed"
    assert password("svc", "alice") == "x" * 40_000

    before = (home / "v.vault").read_bytes()
    told = bring("keyrings.alt", "--json", "--source-passphrase-file", home / "passphrase", code=1)
    report = json.loads(told.stdout)
    assert (report["imported"], report["unchanged"], len(report["left"])) == (0, 3, 1)
    assert (home / "v.vault").read_bytes() == before


def test_delete_source_removes_what_is_kept_and_nothing_else(home):
    python(ALT)
    bring("keyrings.alt", "--delete-source", "--source-passphrase-file", home / "passphrase", code=1)
    left = items(
        "from keyrings.alt.file import EncryptedKeyring, PlaintextKeyring",
        "sealed, plain = EncryptedKeyring(), PlaintextKeyring()",
        "print(sealed.get_password('both', 'u'), sealed.get_password('svc', 'alice'), plain.get_password('both', 'u'))",
    )
    assert left == "None None plain\n"
    assert password("both", "u") == "sealed"


def test_a_file_that_is_named_is_read_by_what_it_holds(home):
    python(ALT)
    for name in ["keyring_pass.cfg", "crypted_pass.cfg"]:
        (home / "xdg_data_home" / "python_keyring" / name).rename(home / name)
    bring("keyrings.alt", code=3)
    bring("keyrings.alt", home / "keyring_pass.cfg")
    assert password("both", "u") == "plain"
    bring("keyrings.alt", home / "crypted_pass.cfg", "--item", "svc", "alice", "--source-passphrase-file", home / "passphrase")
    assert password("svc", "alice") == "x" * 40_000
    assert b"no keyring of this kind" in bring("keyrings.cryptfile", home / "crypted_pass.cfg", code=1).stderr


def test_a_locked_file_ends_with_4_and_a_wrong_passphrase_with_5_and_nothing_is_stored(home):
    python(ALT)
    before = (home / "v.vault").read_bytes()
    assert b"nothing was imported" in bring("keyrings.alt", "--delete-source", code=4).stderr
    (home / "wrong").write_text("other\n")
    assert b"passphrase" in bring("keyrings.alt", "--source-passphrase-file", home / "wrong", code=5).stderr
    assert (home / "v.vault").read_bytes() == before


def test_the_keyring_s_own_code_asks_for_its_passphrase_at_the_terminal(home):
    python(ALT)
    arguments = [PROGRAM, "import", "--from", "keyrings.alt", "--python", sys.executable, "--item", "svc", "alice"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(PROGRAM, arguments)
    said = b""
    while b"password for encrypted keyring: " not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"kk\n")
    try:
        while chunk := os.read(terminal, 1000):
            said += chunk
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    assert b"imported 1 item from" in said and b"kk" not in said
    assert password("svc", "alice") == "x" * 40_000


def test_cryptfile_moves_and_users_with_capitals_by_name(home):
    python(
        """
        from keyrings.cryptfile.cryptfile import CryptFileKeyring
        ring = CryptFileKeyring()
        ring.set_password("svc", "carol", "small")
        ring.set_password("svc", "Carol.B", "capital")
        """
    )
    options = ["--source-passphrase-file", home / "passphrase", "--delete-source"]
    done = bring("keyrings.cryptfile", *options, code=1)
    assert b"without capitals" in done.stderr and b"deleted 1 from it" in done.stderr
    assert (password("svc", "carol"), password("svc", "Carol.B")) == ("small", None)
    bring("keyrings.cryptfile", *options, "--item", "svc", "Carol.B")
    assert password("svc", "Carol.B") == "capital"
    left = items(
        "from keyrings.cryptfile.cryptfile import CryptFileKeyring as ring",
        "print([ring().get_password('svc', user) for user in ['carol', 'Carol.B']])",
    )
    assert left == "[None, None]\n"


def test_another_password_in_the_vault_is_replaced_only_if_that_is_said(home):
    python("from keyrings.alt.file import PlaintextKeyring as ring\nring().set_password('s', 'u', 'theirs')")
    vault("keyring", "set", "s", "u", input=b"ours")
    assert b"exists already" in bring("keyrings.alt", "--delete-source", code=7).stderr
    assert password("s", "u") == "ours"
    assert bring("keyrings.alt", "--dry-run").stdout == b"replace keyring/s/u\n"
    bring("keyrings.alt", "--yes")
    assert password("s", "u") == "theirs"


def test_an_entry_made_by_hand_is_the_item(home):
    python("from keyrings.alt.file import PlaintextKeyring as ring\nring().set_password('s', 'u', 'p')")
    vault("set", "my/own", "--attr", "service=s", "--attr", "username=u", input=b"p")
    report = json.loads(bring("keyrings.alt", "--json", "--verify").stdout)
    assert (report["imported"], report["unchanged"], report["verified"]) == (0, 1, 1)


FOREIGN = """
    from keyring.backend import KeyringBackend
    import os

    class Other(KeyringBackend):
        priority = 9
        turns = 0

        def get_password(self, service, username):
            if service == "locked":
                from keyring.errors import KeyringLocked
                raise KeyringLocked("it sleeps")
            if service == "missing":
                return None
            Other.turns += 1
            # As if somebody changed it after it was read.
            return "new" if service == "changes" and Other.turns > 2 else "p-" + username

        def set_password(self, *_):
            raise NotImplementedError

        def delete_password(self, *_):
            pass
"""


@pytest.fixture
def foreign(home, monkeypatch):
    (home / "foreign.py").write_text(textwrap.dedent(FOREIGN))
    monkeypatch.setenv("PYTHONPATH", "{}:{}".format(home, os.environ["PYTHONPATH"]))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "foreign.Other")


def test_a_backend_that_cannot_list_wants_names(home, foreign):
    refused = bring("keyring", code=2)
    assert b"foreign.Other cannot list" in refused.stderr and b"--item SERVICE USERNAME" in refused.stderr
    (home / "list").write_text("a\tbob\nb c\td e\n")
    done = bring("keyring", "--items", home / "list", "--item", "x", "y", "--item", "missing", "z", code=1)
    assert b'cannot import "missing z": there is no such item' in done.stderr
    assert [password("a", "bob"), password("b c", "d e"), password("x", "y")] == ["p-bob", "p-d e", "p-y"]
    (home / "list").write_text("a\tbob\nno user\n")
    assert b"line 2" in bring("keyring", "--items", home / "list", code=2).stderr


def test_what_the_source_changed_or_keeps_is_reported(home, foreign):
    done = bring("keyring", "--item", "changes", "u", "--delete-source", code=1)
    assert b"it was changed meanwhile" in done.stderr and b"deleted 0 from it" in done.stderr
    assert password("changes", "u") == "p-u"
    done = bring("keyring", "--json", "--item", "stays", "u", "--delete-source", code=1)
    report = json.loads(done.stdout)
    assert report["deleted"] == 0 and report["remaining"][0]["why"] == "the backend did not remove it"


def test_a_locked_item_stores_nothing_of_the_others(home, foreign):
    assert b"it sleeps" in bring("keyring", "--item", "a", "u", "--item", "locked", "u", code=4).stderr
    assert password("a", "u") is None


def test_nothing_in_this_folder_is_taken_for_a_library(home, monkeypatch):
    python("from keyrings.alt.file import PlaintextKeyring as ring\nring().set_password('s', 'u', 'p')")
    folder = home / "folder"
    folder.mkdir()
    for name in ["keyring.py", "configparser.py", "keyrings.py"]:
        (folder / name).write_text("raise SystemExit(77)\n")
    with monkeypatch.context() as here:
        here.chdir(folder)
        bring("keyrings.alt")
    assert password("s", "u") == "p"


def test_our_own_backend_and_none_at_all_are_no_sources(home, monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "vault_keyring.Keyring")
    assert b"uses the vault already" in bring("keyring", code=3).stderr
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    assert b"keeps nothing" in bring("keyring", code=3).stderr
    assert b"has no module" in vault("import", "--from", "keyrings.cryptfile", "--python", "/usr/bin/python3", code=1).stderr
    assert b"it does not exist" in vault("import", "--from", "keyring", "--python", "/nonexistent", code=1).stderr


def fill(env):
    """Items of Python, of secret-tool, and one that is no text."""
    python(
        """
        from keyring.backends.SecretService import Keyring
        import secretstorage
        Keyring().set_password("https://pypi.example.org/simple/", "bob", "from python")
        collection = secretstorage.get_default_collection(secretstorage.dbus_init())
        collection.create_item("git: example.org", {"server": "example.org", "protocol": "https", "user": "bob"}, b"\\xff\\0bytes")
        collection.create_item("empty", {}, b"")
        """,
        env=env,
    )
    store = ["secret-tool", "store", "--label=rust", "service", "rust-app", "username", "bob", "target", "default"]
    subprocess.run(store, input=b"from rust", env=env, check=True)


def desktop_items(env):
    script = "\n".join(
        [
            "import secretstorage",
            "for item in secretstorage.get_default_collection(secretstorage.dbus_init()).get_all_items():",
            "    print(item.get_label())",
        ]
    )
    return items(script, env=env).splitlines()


def entry(text):
    listed = vault("list").stdout.decode().splitlines()
    return next(name for name in listed if text in name)


def test_everything_of_gnome_keyring_moves_with_its_attributes(home):
    with desktop(home / "session") as env:
        fill(env)
        dry = vault("import", "--from", "secret-service", "--dry-run", env=env).stdout.decode()
        assert "store keyring/rust-app/bob\n" in dry and "store secret-service/empty~" in dry
        assert vault("list").stdout == b""

        done = vault("import", "--from", "secret-service", "--verify", env=env)
        assert b"imported 4 items from the Secret Service; read back and compared 4" in done.stderr
        assert password("https://pypi.example.org/simple/", "bob") == "from python"
        assert password("rust-app", "bob") == "from rust"
        git = entry("secret-service/git:%20example.org~")
        assert vault("get", git).stdout == b"\xff\0bytes"
        shown = json.loads(vault("--json", "show", git).stdout)["entry"]["attributes"]
        assert (shown["server"], shown["protocol"], shown["user"]) == ("example.org", "https", "bob")
        assert json.loads(vault("--json", "show", "keyring/rust-app/bob").stdout)["entry"]["attributes"]["target"] == "default"

        before = (home / "v.vault").read_bytes()
        vault("import", "--from", "secret-service", "--verify", env=env)
        assert (home / "v.vault").read_bytes() == before
        assert len(desktop_items(env)) == 4
        # Changed after it was imported: it is not what the vault has, and nobody said that it may replace that.
        subprocess.run(["secret-tool", "store", "--label=x", "service", "rust-app", "username", "bob", "target", "default"], input=b"newer", env=env, check=True)
        vault("import", "--from", "secret-service", "--delete-source", env=env, code=7)
        assert len(desktop_items(env)) == 4
        done = vault("import", "--from", "secret-service", "--delete-source", "--yes", env=env)
        assert b"deleted 4 from it" in done.stderr
        assert desktop_items(env) == []
        assert password("rust-app", "bob") == "newer"


def test_one_item_of_gnome_keyring_moves_alone_and_of_two_alike_the_newest(home):
    with desktop(home / "session") as env:
        fill(env)
        vault("import", "--from", "secret-service", "--item", "rust-app", "bob", "--delete-source", env=env)
        assert vault("list").stdout == b"keyring/rust-app/bob\n"
        assert sorted(desktop_items(env)) == ["Password for 'bob' on 'https://pypi.example.org/simple/'", "empty", "git: example.org"]
        # Both are what Rust's and Python's keyrings make of one password.
        store = ["secret-tool", "store", "--label=second", "service", "https://pypi.example.org/simple/", "username", "bob"]
        subprocess.run(["sleep", "1.1"], check=True)
        subprocess.run([*store, "target", "default"], input=b"second", env=env, check=True)
        done = vault("import", "--from", "secret-service", "--delete-source", env=env, code=1)
        assert b"another one has the same service and user" in done.stderr
        assert password("https://pypi.example.org/simple/", "bob") == "second"
        assert len(desktop_items(env)) == 1
        assert b"no collection" in vault("import", "--from", "secret-service", "--collection", "none", env=env, code=3).stderr
        vault("import", "--from", "secret-service", "--collection", "login", "--dry-run", env=env)


def test_a_locked_gnome_keyring_ends_with_4_and_no_bus_too(home):
    with desktop(home / "session") as env:
        fill(env)
    with desktop(home / "session", unlocked=False) as env:
        done = vault("import", "--from", "secret-service", "--delete-source", env=env, code=4)
        assert b"locked" in done.stderr and b"nothing was imported" in done.stderr
        python_side = bring("keyring", "--delete-source", env={**env, "PYTHON_KEYRING_BACKEND": SECRET_SERVICE}, code=4)
        assert b"nothing was imported" in python_side.stderr
    done = vault("import", "--from", "secret-service", env={**os.environ, "XDG_RUNTIME_DIR": "/nonexistent"}, code=4)
    assert b"bus" in done.stderr
    assert vault("list").stdout == b""


def test_python_s_chain_gives_what_each_part_has_and_the_vault_is_none_of_them(home):
    python("from keyrings.alt.file import PlaintextKeyring as r\nr().set_password('alt', 'u', 'p')\nr().set_password('rust-app', 'bob', 'hidden')")
    vault("door", "python", "--enable", "--prefer")
    with desktop(home / "session") as env:
        env["XDG_DATA_HOME"] = os.environ["XDG_DATA_HOME"]
        fill(env)
        env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.chainer.ChainerBackend"
        # keyrings.cryptfile has no file here, and is a part all the same.
        done = bring("keyring", "--verify", "--delete-source", env=env, code=1)
        assert b"deleted 3 from it" in done.stderr
        assert b'cannot import "rust-app bob": another one' in done.stderr
        assert password("rust-app", "bob") == "from rust"
        assert password("alt", "u") == "p"
        assert sorted(desktop_items(env)) == ["empty", "git: example.org"]
    left = items("from keyrings.alt.file import PlaintextKeyring as r", "print(r().get_password('alt', 'u'), r().get_password('rust-app', 'bob'))")
    assert left == "None hidden\n"


def test_an_import_goes_through_an_agent(home, tmp_path_factory):
    python("from keyrings.alt.file import PlaintextKeyring as ring\nring().set_password('s', 'u', 'x' * 40_000)")
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("r"))}
    vault("unlock", env=env)
    try:
        locked = {name: value for name, value in env.items() if not name.startswith("VAULT_") or name == "VAULT_FILE"}
        bring("keyrings.alt", "--verify", env=locked)
        assert password("s", "u", env=locked) == "x" * 40_000
    finally:
        vault("agent", "stop", env=env)
