"""What the reader refuses with, the limits, deterministic CBOR, and the CDDL of docs/format.md as checks.

A check takes a decoded item and raises ValueError; who opened the item says which section refuses it.
"""

import functools

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FILE_MAX, SHORT_LINE, LONG_LINE, SEAL_LINE = 4 * GIB, 16 * KIB, 96 * KIB, 16 * MIB
LINKS_MAX, ALL_LINKS_MAX = MIB, 64 * MIB
SLOTS_MAX, SEALS_MAX, PARENTS_MAX, REPLACES_MAX, RECORDS_MAX, ENTRIES_MAX = 64, 65_536, 1_024, 65_536, 1_024, 2_000_000
NAME_MAX, TEXT_MAX, ATTRIBUTE_MAX, AUTHOR_MAX, REASON_MAX = 1_024, 128, 8_192, 256, 1_024
ATTRIBUTES_MAX, FIELDS_MAX, ALTERNATIVES_MAX, REMOVED_MAX = 256, 64, 64, 256
INLINE_MAX, ATTACHMENT_MAX, CHUNK, CHUNKS_MAX, AGE_FILE_MAX = 16_384, GIB, 49_152, 21_846, 8_192
PASSPHRASE_MAX, TRIED_MAX, TRIED_KIB_MAX = 4_096, 8, 6_291_456
GENERATION_MAX = (1 << 53) - 1
DEPTH_MAX = 16  # no structure of the format is deeper than nine


class Refused(Exception):
    """The file is not one that a reader may use: the section that says so, and why."""

    def __init__(self, section, why):
        super().__init__(f"{section}: {why}")


class Denied(Exception):
    """No slot opened."""


def need(condition, section, why):
    if not condition:
        raise Refused(section, why)


# --- CBOR: RFC 8949 section 4.2.1 and nothing else -----------------------------------------------------------------------------------


def cbor(data):
    item, end = _item(data, 0, 0)
    need(end == len(data), "Sealing", "bytes follow the CBOR item")
    return item


def _item(data, at, depth):
    def take(count):
        nonlocal at
        need(count <= len(data) - at, "Conventions", "CBOR ends too early")
        at += count
        return data[at - count : at]

    need(depth < DEPTH_MAX, "Conventions", "CBOR is nested too deep")
    first = take(1)[0]
    major, short = first >> 5, first & 31
    if major == 7:
        need(first in (0xF4, 0xF5, 0xF6), "Conventions", "CBOR float, undefined or unknown simple value")
        return {0xF4: False, 0xF5: True, 0xF6: None}[first], at
    need(major not in (1, 6), "Conventions", "CBOR tag or negative integer")
    need(short < 28, "Conventions", "CBOR of indefinite length")
    count = short
    if short >= 24:
        count = int.from_bytes(take(1 << (short - 24)))
        need(count >= (24 if short == 24 else 1 << (4 << (short - 24))), "Conventions", "CBOR integer is not the shortest")
    if major == 0:
        return count, at
    if major == 2:
        return take(count), at
    if major == 3:
        try:
            return take(count).decode("utf-8"), at
        except UnicodeDecodeError:
            raise Refused("Conventions", "CBOR text is not UTF-8") from None
    if major == 4:
        items = []
        for _ in range(count):
            item, at = _item(data, at, depth + 1)
            items.append(item)
        return items, at
    pairs, last = {}, b""
    for _ in range(count):
        start = at
        key, at = _item(data, at, depth + 1)
        need(type(key) in (int, bytes, str), "Conventions", "CBOR map key of a kind that is not used")
        need(data[start:at] > last, "Conventions", "CBOR map keys are not ascending and distinct")
        last = data[start:at]
        pairs[key], at = _item(data, at, depth + 1)
    return pairs, at


# --- Shapes: the CDDL of the page, as checks that raise ValueError -------------------------------------------------------------------


def want(condition, why):
    if not condition:
        raise ValueError(why)


def uint(value):
    want(type(value) is int, "not an unsigned integer")


def GENERATION(value):
    uint(value)
    want(1 <= value <= GENERATION_MAX, "generation out of range")


def tstr(low, high, nul=True):
    def check(value):
        want(type(value) is str, "not a text string")
        want(low <= len(value.encode()) <= high, "text is too short or too long")
        want(nul or "\0" not in value, "name contains U+0000")
    return check


def bstr(low, high):
    def check(value):
        want(type(value) is bytes, "not a byte string")
        want(low <= len(value) <= high, "byte string is too short or too long")
    return check


def exactly(*allowed):
    def check(value):
        want(any(type(value) is type(one) and value == one for one in allowed), "value is not one of those allowed")
    return check


def array(item, low=0, high=1 << 64, order=None):
    def check(value):
        want(type(value) is list, "not an array")
        want(low <= len(value) <= high, "array is too short or too long")
        for one in value:
            item(one)
        keys = [order(one) for one in value] if order else []
        want(all(a < b for a, b in zip(keys, keys[1:])), "array is not ascending and distinct")
    return check


def struct(*shapes):
    def check(value):
        want(type(value) is list and len(value) == len(shapes), "not an array of the right length")
        for shape, one in zip(shapes, value):
            shape(one)
    return check


def members(required, optional):
    def check(value):
        want(type(value) is dict, "not a map")
        want(value.keys() >= required.keys(), "a map member is missing")
        want(value.keys() <= {**required, **optional}.keys(), "unknown map member")
        for key, one in value.items():
            {**required, **optional}[key](one)
    return check


def table(key, item, low=1, high=1 << 64):
    def check(value):
        want(type(value) is dict, "not a map")
        want(low <= len(value) <= high, "map is too small or too large")
        for name, one in value.items():
            key(name)
            item(one)
    return check


def either(first, second, chooses):
    return lambda value: (first if chooses(value) else second)(value)


def or_null(shape):
    return lambda value: value is None or shape(value)


itself = lambda value: value
ID, HASH, NAME, TEXT, AUTHOR = bstr(16, 16), bstr(32, 32), tstr(1, NAME_MAX, nul=False), tstr(1, TEXT_MAX, nul=False), tstr(0, AUTHOR_MAX)
IDS = functools.partial(array, ID, order=itself)
ROSTER = members(
    {1: uint, 2: table(ID, struct(uint, AUTHOR, uint))},
    {3: array(struct(ID, *[tstr(0, SHORT_LINE)] * 3, uint, AUTHOR, uint), 1, REMOVED_MAX)})
PLACE = struct(uint, IDS(0, PARENTS_MAX), HASH)
LINKS = members({1: ID, 2: IDS(0, PARENTS_MAX), 3: GENERATION, 4: array(PLACE, 1, order=lambda place: place[0])}, {5: exactly(True)})
TEXTS = array(TEXT, 1, order=str.encode)
ENTRY_CHANGE = members({1: exactly(0, 1, 2, 3, 4), 2: NAME}, {3: TEXTS, 4: TEXTS, 5: NAME, 6: exactly(True)})
CHANGED = {3: tstr(1, REASON_MAX), 4: array(ENTRY_CHANGE, 1), 5: array(struct(exactly(0, 1, 2, 3), ID), 1), 6: IDS(1, REPLACES_MAX)}
RECORD = struct(ID, uint, members({1: uint, 2: AUTHOR}, CHANGED))
CHANGES = members({1: uint, 2: AUTHOR}, {**CHANGED, 7: array(RECORD, 1, RECORDS_MAX, order=lambda record: (record[1], record[0]))})
INFO = struct(exactly(0, 1), uint)
ATTRIBUTE = tstr(0, ATTRIBUTE_MAX)
ALTERNATIVE = members({1: ID}, {
    2: NAME, 3: table(TEXT, or_null(ATTRIBUTE), 1, ATTRIBUTES_MAX), 4: table(TEXT, or_null(INFO), 1, FIELDS_MAX),
    5: or_null(uint), 6: exactly(True)})
META = members({1: NAME, 4: uint, 5: uint}, {
    2: table(TEXT, ATTRIBUTE, 1, ATTRIBUTES_MAX), 3: table(TEXT, INFO, 1, FIELDS_MAX), 6: uint,
    7: array(ALTERNATIVE, 1, ALTERNATIVES_MAX)})
VALUE = either(bstr(0, INLINE_MAX), struct(ID, HASH, uint), lambda value: type(value) is bytes)
SECRETS = members({}, {1: table(TEXT, VALUE, 1, FIELDS_MAX), 2: array(table(TEXT, VALUE, 0, FIELDS_MAX), 1, ALTERNATIVES_MAX)})
