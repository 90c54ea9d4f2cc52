"""PostgreSQL's texts as Debezium's JSON, a value at a time: for forms that are rare.

Each takes a text and returns JSON. Errors: ValueError, where Debezium's consumers have no value for
what the text says (an infinite date, NaN as a decimal).
"""

from __future__ import annotations

import base64 as _base64
import json
import re
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

Slowly = Callable[[str], str]

_DATE = re.compile(r"([0-9]{4,7})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?")
_ZONE = re.compile(r"([+-])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?")
_DAY_US = 86_400_000_000
_MONTH_DAYS = 365.25 / 12
_INFINITE_US = {"infinity": 9_223_372_036_825_200_000, "-infinity": -9_223_372_036_832_400_000}
"""What PostgreSQL's JDBC driver, and so Debezium, has for timestamps that never come."""
_UNITS = {"year": 12, "years": 12, "mon": 1, "mons": 1, "day": 0, "days": 0}


def same(text: str) -> str:
    return text


def json_(text: str) -> str:
    """The text itself, once it is known to be JSON."""
    try:
        json.loads(text, parse_constant=_no_json)
    except RecursionError:
        raise ValueError from None
    return text


def _no_json(name: str) -> None:
    """NaN and infinity, which Python's parser takes."""
    raise ValueError(name)


def boolean(text: str) -> str:
    return "true" if text in ("t", "true", "1") else "false"


def number(text: str) -> str:
    """NaN and infinity are strings, as Jackson writes them."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return f'"{text}"'
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    if text in names:
        return f'"{names[text]}"'
    float(text)
    return text


def base64(data: bytes) -> str:
    return f'"{_base64.b64encode(data).decode()}"'


def bytes_(text: str) -> str:
    if not text.startswith("\\x"):
        raise ValueError
    return base64(bytes.fromhex(text[2:]))


def _unscaled(number_: int) -> str:
    """Two's complement, big-endian, as short as it can be."""
    length = (number_ if number_ >= 0 else ~number_).bit_length() // 8 + 1
    return base64(number_.to_bytes(length, "big", signed=True))


def _decimal(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError from None
    if not found.is_finite():
        raise ValueError
    return found


def _digits(found: Decimal, scale: int) -> int:
    sign, digits, exponent = found.as_tuple()
    assert isinstance(exponent, int)
    number_, places = int("".join(map(str, digits))), exponent + scale
    number_, rest = divmod(number_ * int(10 ** max(places, 0)), int(10 ** max(-places, 0)))
    if rest:
        raise ValueError
    return -number_ if sign else number_


def decimal_of(scale: int) -> Slowly:
    return lambda text: _unscaled(_digits(_decimal(text), scale))


def variable_decimal(text: str) -> str:
    found = _decimal(text)
    exponent = found.as_tuple().exponent
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    return f'{{"scale":{scale},"value":{_unscaled(_digits(found, scale))}}}'


def money(text: str) -> str:
    """Sessions have lc_monetary C: ``-$1,234.50``."""
    return _unscaled(_digits(_decimal(text.replace("$", "").replace(",", "")), 2))


def bits(text: str) -> str:
    """Little-endian, without zeros at the end, as Java's BitSet."""
    number_ = int(text, 2) if text else 0
    return base64(number_.to_bytes((number_.bit_length() + 7) // 8, "little"))


def _days(year: int, month: int, day: int) -> int:
    """Since 1970, in the Gregorian calendar of all times; year 0 is 1 BC."""
    if month <= 2:
        year, month = year - 1, month + 12
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _date(text: str) -> int:
    text, is_bc = (text[:-3], True) if text.endswith(" BC") else (text, False)
    matched = _DATE.fullmatch(text)
    if matched is None:
        raise ValueError
    year, month, day = map(int, matched.groups())
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise ValueError
    return _days(1 - year if is_bc else year, month, day)


def date(text: str) -> str:
    return str(_date(text))


def _micros(text: str) -> int:
    matched = _TIME.fullmatch(text)
    if matched is None:
        raise ValueError
    hour, minute, second, fraction = matched.groups()
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second)
    return seconds * 1_000_000 + int((fraction or "0").ljust(6, "0"))


def time_of(unit: int) -> Slowly:
    return lambda text: str(_micros(text) // unit)


def _moment(text: str) -> int:
    if text in _INFINITE_US:
        return _INFINITE_US[text]
    text, is_bc = (text[:-3], True) if text.endswith(" BC") else (text, False)
    day, _, time = text.partition(" ")
    return _date(f"{day} BC" if is_bc else day) * _DAY_US + _micros(time)


def timestamp_of(unit: int) -> Slowly:
    return lambda text: str(_moment(text) // unit)


def zoned_of(width: int) -> Slowly:
    """Years of other than four digits have a sign, as in ISO 8601; 1 BC is year 0."""

    def zoned(text: str) -> str:
        if text in _INFINITE_US:
            return f'"{text}"'
        text, is_bc = (text[:-3], True) if text.endswith(" BC") else (text, False)
        day, _, rest = text.partition(" ")
        matched = _DATE.fullmatch(day)
        if matched is None or not rest.endswith("+00"):
            raise ValueError
        time, _, fraction = rest.removesuffix("+00").partition(".")
        _micros(time)
        year = 1 - int(matched[1]) if is_bc else int(matched[1])
        shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
        more = "." + fraction.ljust(width, "0")[:width] if width else ""
        return f'"{shown}-{matched[2]}-{matched[3]}T{time}{more}Z"'

    return zoned


def zoned_time(text: str) -> str:
    """In UTC, with as many digits of a second as there are."""
    at = max(text.rfind("+"), text.rfind("-"))
    matched = _ZONE.fullmatch(text[at:]) if at > 0 else None
    if matched is None:
        raise ValueError
    sign, *parts = matched.groups()
    away = sum(int(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    micros = (_micros(text[:at]) - away * 1_000_000 * (1 if sign == "+" else -1)) % _DAY_US
    seconds, fraction = divmod(micros, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    more = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f'"{hour:02d}:{minute:02d}:{second:02d}{more}Z"'


def interval(text: str) -> str:
    """Microseconds, of which a month has 30.4375 days; IntervalStyle is postgres."""
    months, days, micros = 0, 0, 0
    words = text.split()
    while words:
        word = words.pop(0)
        if ":" in word:
            sign, clock = (-1, word[1:]) if word[0] == "-" else (1, word.lstrip("+"))
            hours, _, rest = clock.partition(":")
            micros += sign * (int(hours) * 3_600_000_000 + _micros(f"00:{rest}"))
            continue
        unit = words.pop(0) if words else ""
        if unit not in _UNITS:
            raise ValueError
        if _UNITS[unit]:
            months += int(word) * _UNITS[unit]
        else:
            days += int(word)
    return str(int((months * _MONTH_DAYS + days) * _DAY_US) + micros)


_POINT = re.compile(r"\(([^,()]+),([^,()]+)\)")


def point(text: str) -> str:
    """With its well-known binary: little-endian, type 1, x, y."""
    matched = _POINT.fullmatch(text)
    if matched is None:
        raise ValueError
    x, y = map(float, matched.groups())
    well_known = base64(struct.pack("<BIdd", 1, 1, x, y))
    return f'{{"x":{_double(x)},"y":{_double(y)},"wkb":{well_known},"srid":null}}'


def _double(value: float) -> str:
    return number(repr(value))


_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:(NULL)|"((?:[^"\\]|\\.)*)")(?:, |$)', re.DOTALL)


def hstore(text: str) -> str:
    """A JSON text of it, as with hstore.handling.mode json."""
    found: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        matched = _PAIR.match(text, at)
        if matched is None:
            raise ValueError
        key, null, value = matched.groups()
        found[_unescaped(key)] = None if null else _unescaped(value)
        at = matched.end()
    return json.dumps(json.dumps(found, separators=(",", ":"), ensure_ascii=False))


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)


def array_of(item: Slowly) -> Slowly:
    """One dimension; Debezium has no more."""

    def array(text: str) -> str:
        return "[" + ",".join("null" if one is None else item(one) for one in _items(text)) + "]"

    return array


_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}]+)', re.DOTALL)


def _items(text: str) -> list[str | None]:
    if not text.startswith("{") or not text.endswith("}"):
        raise ValueError  # bounds of its own
    found: list[str | None] = []
    at, end = 1, len(text) - 1
    while at < end:
        matched = _ITEM.match(text, at, end)
        if matched is None:
            raise ValueError  # more dimensions
        quoted, plain = matched.groups()
        if quoted is not None:
            found.append(_unescaped(quoted))
        else:
            found.append(None if plain.upper() == "NULL" else plain)
        at = matched.end() + 1
    return found
