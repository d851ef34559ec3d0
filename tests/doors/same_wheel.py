"""Compares a wheel that maturin built with the installation of the one that the tests make by hand.

Usage: same_wheel.py WHEEL FOLDER. Fails with what differs: files, entry points, and what the metadata says to pip.
"""

import email
import pathlib
import sys
import zipfile

wheel, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
[info] = [path.name for path in folder.glob("*.dist-info")]


def built(name):
    return wheel.read(info + "/" + name).decode()


def by_hand(name):
    return (folder / info / name).read_text()


def modules(names):
    return sorted(name for name in names if name.endswith(".py"))


differences = []


def same(what, one, other):
    if one != other:
        differences.append("{}: {} / {}".format(what, one, other))


names = wheel.namelist()
same("modules", modules(names), modules(str(path.relative_to(folder)) for path in folder.rglob("*.py")))
for name in modules(names):
    same(name, wheel.read(name), (folder / name).read_bytes())
others = [name for name in names if not name.endswith((".py", "/")) and not name.startswith(info + "/")]
same("other files", others, [info.replace(".dist-info", ".data") + "/scripts/vault"])
same("entry points", *(text("entry_points.txt").replace(" ", "").split() for text in (built, by_hand)))
ours, theirs = (email.message_from_string(text("METADATA")) for text in (built, by_hand))
for key in ["Name", "Version", "Requires-Dist", "Requires-Python", "Summary"]:
    same(key, ours.get_all(key), theirs.get_all(key))
sys.exit("\n".join(differences) or None)
