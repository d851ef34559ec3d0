"""The snippets of docs/keyring.md, run as they stand there, but for the names of hosts, files and packages."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import venv

import pytest
from desktop import desktop
from index import WHEEL, index, wheel

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "keyring.md").read_text()
SNIPPETS = [(language, text) for language, text in re.findall(r"^```(sh|python|rust)\n(.*?)^```$", PAGE, re.M | re.S)]
PROGRAM = os.environ["KEYRING_PROPERTY_PROGRAM"]
BIN = pathlib.Path(sys.executable).parent


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    links = tmp_path / ".local" / "bin"
    links.mkdir(parents=True)
    (links / "vault").symlink_to(PROGRAM)
    for name, target in [("pip", "pip"), ("uv", "uv"), ("twine", "twine"), ("python", "python")]:
        (links / name).symlink_to(BIN / target)
    (links / "poetry").symlink_to(os.environ["DOORS_POETRY"])
    monkeypatch.setenv("PATH", "{}:/usr/bin:/bin".format(links))
    for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"]:
        monkeypatch.setenv(variable, str(tmp_path))
    return tmp_path


def snippet(number, language, word):
    found_language, text = SNIPPETS[number]
    assert found_language == language and word in text, text
    return text


def run(text, replaced={}, **options):
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    done = subprocess.run(["sh", "-eux", "-c", text], capture_output=True, timeout=120, start_new_session=True, **options)
    assert done.returncode == 0, "{}\n{}".format(done.stdout, done.stderr)
    return done.stdout


def test_every_snippet_has_a_test():
    assert [language for language, _ in SNIPPETS] == ["sh", "sh", "python", "rust", "sh", "sh", "sh"]


def test_the_command(home):
    (home / "password-file").write_text("secret\n")
    text = snippet(0, "sh", "vault door keyring --enable")
    out = run(text.replace("<password-file", "< password-file"))
    assert out == b'secret\n{"username": "bob", "password": "secret"}\n'
    assert (home / ".local/bin/keyring").is_symlink()


def test_python_is_enabled_in_every_way_and_disabled(home, monkeypatch):
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    text = snippet(1, "sh", "vault door python --enable")
    # It is installed here; no index has it yet.
    lines = text.splitlines()
    assert lines[0].startswith("pip install vault-keyring ")
    for line in lines[1:4]:
        run(line)
        state = run("vault door python").split()[0]
        words = {b"enabled": "--enable ", b"fallback": "--fallback", b"prefer": "--prefer"}
        assert words[state] in line, (state, line)
    run(lines[4])
    assert run("vault door python").startswith(b"disabled")


def test_python(home):
    subprocess.run([sys.executable, "-c", snippet(2, "python", "import keyring")], check=True)


def test_rust_is_the_example_of_the_crate_which_is_compiled():
    crate = (ROOT / "vault-keyring/src/lib.rs").read_text()
    lines = [line[4:] for line in crate.splitlines() if line.startswith("//!")]
    assert snippet(3, "rust", "keyring_core") in "\n".join(lines) + "\n"


def test_clients(home, monkeypatch):
    text = snippet(4, "sh", "PIP_KEYRING_PROVIDER")
    venv.create(home / "environment")
    monkeypatch.setenv("VIRTUAL_ENV", str(home / "environment"))
    for name, value in [("PIP_TARGET", "target"), ("PIP_NO_INPUT", "1"), ("PIP_NO_CACHE_DIR", "1"), ("PIP_CONFIG_FILE", "/dev/null")]:
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("TWINE_NON_INTERACTIVE", "1")
    (home / "dist").mkdir()
    (home / "dist" / WHEEL).write_bytes(wheel())
    (home / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\n')
    with index("bob", "secret") as server:
        run("vault door keyring --enable")
        for service in ["simple", "upload/"]:
            run("keyring set {} bob".format(shlex.quote(server.url + "/" + service)), input=b"secret\n")
        host = server.url.removeprefix("http://")
        replaced = {"https://pypi.example.org": server.url, "https://bob@pypi.example.org": "http://bob@" + host, " package": " doors-probe"}
        run(text, replaced, input=b"s3cret-of-poetry\n")
        assert len(server.uploads) == 1
    assert (home / "target" / "doors_probe.py").exists()
    assert list((home / "environment").rglob("doors_probe.py"))
    assert run("keyring get poetry-repository-private bob") == b"s3cret-of-poetry\n"
    written = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any(b"s3cret-of-poetry" in path.read_bytes() for path in written)


def test_moving_from_another_keyring(home, monkeypatch):
    text = snippet(5, "sh", "vault import --from secret-service")
    (home / ".local/bin/python3").write_text('#!/bin/sh\nexec "{}" "$@"\n'.format(sys.executable))
    (home / ".local/bin/python3").chmod(0o755)
    (home / "passphrase").write_text("kk\n")
    service = "https://pypi.example.org/simple/"
    subprocess.run([PROGRAM, "keyring", "del", service, "bob"], capture_output=True)
    with desktop(home) as environment:
        environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.SecretService.Keyring"
        for backend in ["keyrings.alt.file.PlaintextKeyring", "keyrings.cryptfile.cryptfile.CryptFileKeyring", environment["PYTHON_KEYRING_BACKEND"]]:
            module, _, name = backend.rpartition(".")
            script = "import getpass, sys; getpass.getpass = lambda *_: 'kk'; from {} import {} as ring; ring().set_password(sys.argv[1], 'bob', 'moved')"
            subprocess.run([sys.executable, "-c", script.format(module, name), service], env=environment, check=True)
        out = run(text, env=environment)
        assert out.startswith(b"store keyring/https:%2F%2Fpypi.example.org%2Fsimple%2F/bob\n")
        left = "import keyring, sys; print(keyring.get_password(sys.argv[1], 'bob'))"
        assert subprocess.run([sys.executable, "-c", left, service], env=environment, capture_output=True).stdout == b"None\n"
    assert run("vault keyring get {} bob".format(service)) == b"moved\n"


def test_containers(home, monkeypatch):
    run("vault door keyring --enable; keyring set https://pypi.example.org/simple/ bob", input=b"in a container\n")
    names = {"/srv/app/secrets.vault": os.environ["VAULT_FILE"], "/run/secrets/vault-key": os.environ["VAULT_MACHINE_KEY_FILE"]}
    for name in list(os.environ):
        if name.startswith("VAULT_"):
            monkeypatch.delenv(name)
    out = run(snippet(6, "sh", "VAULT_MACHINE_KEY_FILE"), names)
    assert out == b"in a container\n"
