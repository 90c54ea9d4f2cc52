"""Sizes as people write them: ``20GB``, ``512 MB``, ``8192`` (bytes). A kB is 1024 bytes, as in
PostgreSQL's own settings."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_SHAPE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")


def parse_bytes(text: object) -> int:
    """Errors: ValueError, one sentence."""
    if isinstance(text, int):
        return text
    matched = _SHAPE.fullmatch(str(text).strip())
    if matched is None or matched[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is not a size: expected for example 500MB or 20GB")
    return int(float(matched[1]) * _UNITS[matched[2].lower()])


def format_bytes(size: int) -> str:
    """In the largest unit that leaves at least 1: ``1.5 GB``, ``16 MB``, ``17 bytes``."""
    for unit in ("TB", "GB", "MB", "kB"):
        factor = _UNITS[unit.lower()]
        if abs(size) >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"


Size = Annotated[int, BeforeValidator(parse_bytes)]
"""A pydantic field given as such a text and held in bytes."""
