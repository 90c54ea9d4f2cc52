"""PostgreSQL's names of types, in which target columns are declared, whatever the target."""

from __future__ import annotations

import re

_FORM = re.compile(r"([a-z][a-z ]*?) ?(?:\((\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?")


def parted(type_: str) -> tuple[str, int | None, int, str | None]:
    """A type's name, its size, its scale, and what it says of a time zone."""
    matched = _FORM.fullmatch(type_)
    base, first, second, zone = matched.groups() if matched else (type_, None, None, None)
    return base, int(first) if first else None, int(second or 0), zone
