"""Installs our package into a folder: a wheel of the same content as maturin makes, with the program that the tests built.

Usage: install.py FOLDER PROGRAM. maturin builds one package, so other features of some dependencies, so not this program:
scripts/wheel.sh lets it, and compares the two wheels.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

folder, program = map(pathlib.Path, sys.argv[1:])
python = pathlib.Path(__file__).resolve().parents[2] / "python"
project = (python / "pyproject.toml").read_text()


def section(name):
    return re.search(r"^\[{}\]\n(.*?)(?=^\[|\Z)".format(re.escape(name)), project, re.M | re.S)[1]


def value(text, key):
    return re.search(r'^{} = "(.*)"'.format(key), text, re.M)[1]


name = value(section("project"), "name").replace("-", "_")
entries = section('project.entry-points."keyring.backends"').replace('"', "")
info = name + "-0.1.0.dist-info"
depends = re.search(r"^dependencies = \[(.*)\]", section("project"), re.M)[1].replace('"', "")
metadata = {
    "Metadata-Version": "2.1",
    "Name": value(section("project"), "name"),
    "Version": "0.1.0",
    "Summary": value(section("project"), "description"),
    "Requires-Python": value(section("project"), "requires-python"),
    "Requires-Dist": depends,
}
files = {
    info + "/METADATA": "".join("{}: {}\n".format(*pair) for pair in metadata.items()),
    info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    info + "/entry_points.txt": "[keyring.backends]\n" + entries,
    name + "-0.1.0.data/scripts/vault": program.read_bytes(),
}
module = value(section("tool.maturin"), "module-name")
for path in (python / module).glob("*.py"):
    files["{}/{}".format(module, path.name)] = path.read_bytes()
files[info + "/RECORD"] = "".join(path + ",,\n" for path in [*files, info + "/RECORD"])

with tempfile.TemporaryDirectory() as temporary:
    wheel = pathlib.Path(temporary) / (name + "-0.1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, content)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*command, "--no-compile", "--target", folder, wheel], check=True)
