"""Real clients against an index on loopback, with the password in the vault and nowhere else."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from index import WHEEL, index, wheel

USER, PASSWORD = "bob", "pä ss\"w\\ord"
BIN = pathlib.Path(sys.executable).parent
POETRY = os.environ["DOORS_POETRY"]


@pytest.fixture
def server():
    with index(USER, PASSWORD) as server:
        yield server


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Our keyring is the first in PATH, and none of what the machine has configured counts."""
    links = tmp_path / "bin"
    links.mkdir()
    (links / "keyring").symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    monkeypatch.setenv("PATH", "{}:{}".format(links, os.environ["PATH"]))
    for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"]:
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    for variable in ["PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    return tmp_path


def run(*command, check=True, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options)
    if check:
        assert done.returncode == 0, "{}\n{}\n{}".format(command, done.stdout, done.stderr)
    return done


def store(service, user=USER, password=PASSWORD):
    program = os.environ["KEYRING_PROPERTY_PROGRAM"]
    subprocess.run([program, "keyring", "set", service, user], input=password.encode() + b"\n", check=True)


def pip(home, url, provider, check=True):
    target = home / "target"
    done = run(
        BIN / "python", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir",
        "--keyring-provider", provider, "--target", target, "--index-url", url, "doors-probe", check=check,
    )  # fmt: skip
    return done, (target / "doors_probe.py").exists()


def lock(monkeypatch):
    for name in list(os.environ):
        if name.startswith("VAULT_") and name != "VAULT_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")


@pytest.mark.parametrize("provider", ["subprocess", "import"])
@pytest.mark.parametrize("stored", ["{url}/simple/", "{host}"])
def test_pip_installs(home, server, provider, stored):
    store(stored.format(url=server.url, host=server.url.removeprefix("http://")))
    url = server.url.replace("http://", "http://" + USER + "@") if provider == "import" else server.url
    assert pip(home, url + "/simple", provider)[1]


@pytest.mark.parametrize("backend", ["pip", "uv"])
def test_pipx_installs_a_command(home, server, monkeypatch, backend):
    monkeypatch.setenv("PIPX_HOME", str(home / "pipx"))
    monkeypatch.setenv("PIPX_BIN_DIR", str(home / "pipx-bin"))
    monkeypatch.setenv("PIP_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PATH", "{}:{}".format(os.environ["PATH"], BIN))
    store(server.url + "/simple")
    url = server.url.replace("http://", "http://" + USER + "@") + "/simple"
    run(BIN / "pipx", "install", "--backend", backend, "--index-url", url, "doors-probe")
    assert run(home / "pipx-bin" / "doors-probe").stdout == "42\n"
    assert any(given.startswith("Basic ") for _, _, given in server.requests)


def test_pip_finds_what_was_stored_without_its_slash(home, server):
    store(server.url + "/simple")
    assert pip(home, server.url + "/simple/", "subprocess")[1]


def test_pip_does_not_install_while_locked_and_does_not_hang(home, server, monkeypatch):
    store(server.url + "/simple/")
    lock(monkeypatch)
    done, installed = pip(home, server.url + "/simple/", "subprocess", check=False)
    assert done.returncode and not installed


def uv(home, *arguments, check=True):
    return run(
        BIN / "uv", "pip", "install", "--no-cache", "--keyring-provider", "subprocess", "--python", sys.executable,
        "--target", home / "target", *arguments, "doors-probe", check=check,
    )  # fmt: skip


def test_uv_installs_with_the_user_in_the_url(home, server):
    store(server.url + "/simple")
    uv(home, "--index-url", server.url.replace("http://", "http://" + USER + "@") + "/simple")
    assert (home / "target" / "doors_probe.py").exists()


def test_uv_installs_without_a_user_if_the_index_always_wants_one(home, server, monkeypatch):
    store(server.url + "/simple/")
    monkeypatch.delenv("UV_NO_CONFIG")
    configuration = home / "uv.toml"
    text = '[[index]]\nname = "doors"\nurl = "{}/simple"\ndefault = true\nauthenticate = "always"\n'
    configuration.write_text(text.format(server.url))
    uv(home, "--config-file", configuration)
    assert (home / "target" / "doors_probe.py").exists()


def test_uv_says_that_the_vault_is_locked(home, server, monkeypatch):
    store(server.url + "/simple")
    lock(monkeypatch)
    url = server.url.replace("http://", "http://" + USER + "@") + "/simple"
    done = uv(home, "--index-url", url, check=False)
    assert done.returncode and "is locked" in done.stderr


def package(home):
    path = home / WHEEL
    path.write_bytes(wheel())
    return path


def test_uv_publishes(home, server):
    store(server.url + "/upload/")
    run(
        BIN / "uv", "publish", "--keyring-provider", "subprocess", "--username", USER,
        "--publish-url", server.url + "/upload/", "--no-attestations", package(home), check=True,
    )  # fmt: skip
    assert len(server.uploads) == 1


def test_twine_uploads(home, server):
    store(server.url + "/upload/")
    run(BIN / "twine", "upload", "--non-interactive", "--repository-url", server.url + "/upload/", package(home))
    assert len(server.uploads) == 1


def poetry(home, *arguments, check=True):
    project = home / "project"
    project.mkdir(exist_ok=True)
    (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\n')
    return run(POETRY, "--no-interaction", *arguments, check=check, cwd=project)


def everything_written(home):
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.is_symlink())


def test_poetry_stores_its_password_in_the_vault(home):
    poetry(home, "config", "http-basic.priv", USER, "s3cret-of-poetry")
    program = os.environ["KEYRING_PROPERTY_PROGRAM"]
    stored = subprocess.run([program, "keyring", "get", "poetry-repository-priv", USER], stdout=subprocess.PIPE)
    assert stored.stdout == b"s3cret-of-poetry\n"
    assert b"s3cret-of-poetry" not in everything_written(home)


@pytest.mark.parametrize("state", ["locked", "missing"])
def test_poetry_writes_nothing_in_plain_text_while_the_vault_is_locked_or_missing(home, monkeypatch, state):
    lock(monkeypatch)
    if state == "missing":
        monkeypatch.setenv("VAULT_FILE", "/nonexistent/v.vault")
    done = poetry(home, "config", "http-basic." + state, USER, "s3cret-while-" + state, check=False)
    assert done.returncode
    assert b"s3cret-while-" not in everything_written(home)
