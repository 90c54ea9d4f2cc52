"""What a JSON column of MySQL keeps.

It holds no text but the value: integers of 64 bits, all other numbers as doubles, and of two
members of one name the last. Spaces, the order of members and the way a number is written are not
kept, which is the same value; a value that would be another is refused. (At MariaDB, JSON is text.)
https://dev.mysql.com/doc/refman/8.4/en/json.html
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa

from sinks.rowtext import as_text

NO_JSON = "\0"
"""In place of a text whose value would change: the server refuses it, and says in which row."""


def only_kept(column: pa.Array) -> pa.Array:
    """`column`, with `NO_JSON` where the value would be another."""
    texts = as_text(column).to_pylist()
    return pa.array(
        [text if text is None or is_kept(text) else NO_JSON for text in texts], pa.string()
    )


def is_kept(text: str) -> bool:
    try:
        json.loads(
            text,
            parse_int=_integer,
            parse_float=_double,
            parse_constant=_refuse,
            object_pairs_hook=_members,
        )
    except (ValueError, RecursionError):  # the server takes 100 levels
        return False
    return True


def _integer(text: str) -> None:
    if not -(2**63) <= Decimal(text) < 2**64:
        _double(text)


def _double(text: str) -> None:
    if Decimal(repr(float(text))) != Decimal(text):
        raise ValueError


def _members(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) < len(members):
        raise ValueError


def _refuse(text: str) -> None:
    raise ValueError
