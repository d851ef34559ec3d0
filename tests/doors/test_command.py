"""Our `keyring` and Python's, with our backend behind it, over the same calls on the same vault: the same bytes on standard
output, the same exit codes, and nothing on standard error where Python's says nothing."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from desktop import desktop

PYTHON = [str(pathlib.Path(sys.executable).parent / "keyring")]
URL = "https://pypi.example.org/simple/"
HARD = "p\u00e4 ss\"w\\ord\t\u0001\U0001f511\u007f"

# Each: arguments, standard input; None is an empty one. They build on each other.
CALLS = [
    (["get", "svc", "bob"], None),
    (["set", "svc", "bob"], "secret\n"),
    (["get", "svc", "bob"], None),
    (["set", "svc", "bob"], "no newline"),
    (["get", "svc", "bob"], None),
    (["set", "svc", "bob"], "two\n\n"),
    (["get", "svc", "bob"], None),
    (["set", "svc", "bob"], "carriage\r\n"),
    (["get", "svc", "bob"], None),
    (["set", "svc", "bob"], " blanks \n"),
    (["get", "svc", "bob"], None),
    (["set", "svc", "hard"], HARD),
    (["get", "svc", "hard"], None),
    (["--output", "json", "get", "svc", "hard"], None),
    (["get", "svc", "hard", "--output=json", "--mode=creds"], None),
    (["--mode", "creds", "get", "svc", "hard"], None),
    (["--mode=creds", "get", "svc", "nobody"], None),
    (["--mode=creds", "--output=json", "get", "svc", "nobody"], None),
    (["--mode=creds", "--output=json", "get", "no such service"], None),
    (["del", "svc", "hard"], None),
    (["--mode=creds", "get", "svc"], None),
    (["--mode=creds", "--output=json", "get", "svc"], None),
    (["get", "svc", "--mode", "creds"], None),
    (["get", "svc", "--mode", "creds", "--output", "json"], None),
    (["--mod", "creds", "get", "svc", "--out", "plain"], None),
    (["--mode=password", "get", "svc", "bob"], None),
    (["-p", "/tmp", "get", "svc", "bob"], None),
    (["-p/tmp", "get", "svc", "bob"], None),
    (["--keyring-path=/tmp", "get", "svc", "bob"], None),
    (["-b", "vault_keyring.Keyring", "get", "svc", "bob"], None),
    (["-bvault_keyring.Keyring", "get", "svc", "bob"], None),
    (["get", "svc", "bob", "--keyring-backend", "vault_keyring.Keyring"], None),
    (["-b", "no.such.Backend", "get", "svc", "bob"], None),
    (["--keyring", "x", "get", "svc", "bob"], None),
    ([], None),
    (["fetch"], None),
    (["get"], None),
    (["get", "svc"], None),
    (["set", "svc"], "x"),
    (["del", "svc"], None),
    (["del"], None),
    (["get", "--mode=creds"], None),
    (["set", "svc", "--mode=creds"], "x"),
    (["get", "svc", "bob", "extra"], None),
    (["get", "svc", "bob", "--unknown"], None),
    (["--mode", "all", "get", "svc", "bob"], None),
    (["--output=yaml", "get", "svc", "bob"], None),
    (["--mode"], None),
    (["--list-backends=1"], None),
    (["--print-completion", "fish"], None),
    (["--help"], None),
    (["get", "-h"], None),
    (["diagnose"], None),
    (["diagnose", "ignored", "words"], None),
    (["set", URL, "bob"], "url\n"),
    (["get", URL, "bob"], None),
    (["--mode=creds", "--output=json", "get", URL], None),
    (["set", "", "bob"], "empty service\n"),
    (["get", "", "bob"], None),
    (["del", "", "bob"], None),
    (["set", "--", "-dash", "--user"], "dashes\n"),
    (["get", "--", "-dash", "--user"], None),
    (["del", "--", "-dash", "--user"], None),
    (["set", "-1", "-2.5"], "numbers\n"),
    (["get", "-1", "-2.5"], None),
    (["get", "-a b", "bob"], None),
    (["set", "e\u0301", "\u00e9"], "nfd\n"),
    (["get", "e\u0301", "\u00e9"], None),
    (["get", "\u00e9", "\u00e9"], None),
    (["set", "svc", "long"], "x" * 100_000 + "\n"),
    (["get", "svc", "long"], None),
    (["set", "svc", "nothing"], None),
    (["set", "svc", "nothing"], "\n"),
    (["get", "svc", "nothing"], None),
    (["del", "svc", "bob"], None),
    (["del", "svc", "bob"], None),
    (["get", "svc", "bob"], None),
]


def answers(command, environment, input):
    done = subprocess.run(
        command, env=environment, input=(input or "").encode(), capture_output=True, start_new_session=True, timeout=60
    )
    return done.returncode, done.stdout, bool(done.stderr)


def environments(tmp_path):
    """Two vaults that the same key opens, so that each command has one of its own."""
    vault = pathlib.Path(os.environ["VAULT_FILE"]).read_bytes()
    for name in ["python", "ours"]:
        path = tmp_path / (name + ".vault")
        path.write_bytes(vault)
        if "DOORS_KEY_FILE" in os.environ:
            # An agent holds the vault: these, too, are held.
            key = {**os.environ, "VAULT_MACHINE_KEY_FILE": os.environ["DOORS_KEY_FILE"]}
            subprocess.run([os.environ["KEYRING_PROPERTY_PROGRAM"], "--file", path, "unlock"], env=key, check=True)
        yield {**os.environ, "VAULT_FILE": str(path), "COLUMNS": "80", "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_the_same_bytes_and_exit_codes(tmp_path):
    link = tmp_path / "keyring"
    link.symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    python, ours = environments(tmp_path)
    assert len(CALLS) >= 60
    different = []
    for arguments, input in CALLS:
        expected = answers(PYTHON + arguments, python, input)
        got = answers([str(link)] + arguments, ours, input)
        if expected != got:
            different.append((arguments, input, expected, got))
    assert not different


def test_backends_are_listed_alike(tmp_path):
    python, ours = environments(tmp_path)
    listed = answers(PYTHON + ["--list-backends"], python, None)[1].splitlines()
    link = tmp_path / "keyring"
    link.symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    assert answers([str(link), "--list-backends"], ours, None)[1].strip() in listed


def secret_service(environment):
    """Whether Python's keyring lists Secret Service, and whether "vault backends" calls it usable."""
    environment = {name: value for name, value in environment.items() if name != "PYTHON_KEYRING_BACKEND"}
    listed = answers(PYTHON + ["--list-backends"], environment, None)[1].decode()
    done = subprocess.run(
        [os.environ["KEYRING_PROPERTY_PROGRAM"], "--json", "backends"], env=environment, capture_output=True, check=True
    )
    backends = {backend["name"]: backend["viable"] for backend in json.loads(done.stdout)["backends"]}
    return "keyring.backends.SecretService.Keyring (priority: 5)" in listed, backends["secret-service"]


def test_vault_backends_agrees_with_python_on_secret_service_unless_it_is_locked(tmp_path):
    environment = {**os.environ, "XDG_RUNTIME_DIR": "/nonexistent"}
    environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
    assert secret_service(environment) == (False, False)
    with desktop(tmp_path) as environment:
        assert secret_service(environment) == (True, True)
    # Python lists what is there; ours tries it, and finds that nothing can be kept in it now.
    with desktop(tmp_path, unlocked=False) as environment:
        assert secret_service(environment) == (True, False)


def test_disable_writes_what_python_writes_and_is_obeyed(tmp_path):
    link = tmp_path / "keyring"
    link.symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_KEYRING_BACKEND"}
    texts = []
    for name, command in [("python", PYTHON), ("ours", [str(link)])]:
        environment["XDG_CONFIG_HOME"] = str(tmp_path / name)
        assert answers(command + ["--disable"], environment, None) == (0, b"", False)
        assert answers(command + ["--disable"], environment, None) == (1, b"", True)
        texts.append((tmp_path / name / "python_keyring" / "keyringrc.cfg").read_bytes())
    assert texts[0] == texts[1]
    assert answers([str(link), "get", "s", "u"], environment, None) == (1, b"", False)
    assert answers([str(link), "set", "s", "u"], environment, "p") == (1, b"", True)


@pytest.mark.parametrize("arguments", [["get", "s", "u"], ["set", "s", "u"], ["del", "s", "u"], ["get", "s", "--mode=creds"]])
def test_locked_ends_with_4_and_one_line(tmp_path, arguments):
    link = tmp_path / "keyring"
    link.symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("VAULT_") or name == "VAULT_FILE"
    }
    environment["XDG_RUNTIME_DIR"] = "/nonexistent"
    done = subprocess.run(
        [link, *arguments], env=environment, input=b"p", capture_output=True, start_new_session=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (4, b"", 1)


def test_a_url_is_found_under_its_other_names(tmp_path):
    link = tmp_path / "keyring"
    link.symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    _, ours = environments(tmp_path)
    for service, password in [("h:1", "host"), ("https://h:1", "origin"), ("https://h:1/a", "slash"), ("https://h:1/a/", "exact")]:
        answers([str(link), "set", service, "bob"], ours, password)
        assert answers([str(link), "get", "https://h:1/a/", "bob"], ours, None)[1].decode() == password + "\n"
    assert answers([str(link), "get", "https://h:2/a/", "bob"], ours, None)[0] == 1


def test_bytes_that_are_no_text_come_back_and_json_refuses_them(tmp_path):
    link = tmp_path / "keyring"
    link.symlink_to(os.environ["KEYRING_PROPERTY_PROGRAM"])
    _, ours = environments(tmp_path)
    done = subprocess.run([link, "set", "s", "u"], env=ours, input=b"\xff\x00\xfe\n")
    assert done.returncode == 0
    assert answers([str(link), "get", "s", "u"], ours, None) == (0, b"\xff\x00\xfe\n", False)
    assert answers([str(link), "get", "s", "u", "--output=json"], ours, None) == (1, b"", True)
