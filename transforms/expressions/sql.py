"""Small pieces of DuckDB SQL."""

from __future__ import annotations

import re
from collections.abc import Callable

MARK = "tailrace:"
"""Begins the text of every failure that our own SQL raises; see `failure`."""

REASONS = {
    "malformed": "its text does not have the form that the cast expects",
    "bc": "a date before the year 1 is not computed on",
    "infinite": "an infinite date has no parts",
    "overflow": "the result is out of range",
    "zero": "division by zero",
    "document": "the path in a JSON document leads to an object or array, or a key stands twice",
    "zone": "outside of the years 1980 to 2037 time zones are not computed with",
    "separator": "a key column holds the key's separator, so two rows could share a key",
    "otherwise": "a value does not convert or is out of range",
    "unlisted": "the value map does not list the code",
    "missing": "the looked up table has no such row",
    "ambiguous": "the looked up table has several such rows",
    "unread": "the looked up row is older than the column that is read, so its value is not known",
    "null_key": "the key is NULL",
    "required": "a required field is NULL",
}
"""Why a row cannot be mapped, in words without the row's values."""


_COLUMN = re.compile(r"c\d+")
_STRING = re.compile(r"'(?:[^']|'')*'")
_MARKED = re.compile(MARK + "(" + "|".join(REASONS) + ")")


def quoted(text: str) -> str:
    """A string constant. DuckDB knows no backslash escapes in it."""
    return "'" + text.replace("'", "''") + "'"


def plain(sql: str) -> str | None:
    """The text of what is a string constant and nothing else."""
    return sql[1:-1].replace("''", "'") if _STRING.fullmatch(sql) else None


def stripped(function: str, sql: str) -> str:
    """`sql` without blanks at its ends: ``trim``, ``ltrim`` or ``rtrim``.

    DuckDB's own takes the text apart character by character; of a column, which costs nothing to
    read twice, most rows need it not.
    """
    bare = f"{function}({sql}, ' ')"
    if not _COLUMN.fullmatch(sql):
        return bare
    asked = {"ltrim": ("starts_with",), "rtrim": ("ends_with",)}
    ends = asked.get(function, ("starts_with", "ends_with"))
    padded = " OR ".join(f"{end}({sql}, ' ')" for end in ends)
    return f"CASE WHEN {padded} THEN {bare} ELSE {sql} END"


def failure(reason: str, duckdb_type: str = "VARCHAR") -> str:
    """An expression that fails when a row reaches it, with `reason` in the message.

    A cast that cannot succeed serves better than DuckDB's error(): it is not volatile, so TRY can
    count which rows fail.
    """
    text = f"'{MARK}{reason}'"
    if duckdb_type == "VARCHAR":
        return f"CAST(CAST({text} AS INTEGER) AS VARCHAR)"
    return f"CAST({text} AS {duckdb_type})"


def reason_of(message: str) -> str:
    """Key into REASONS for a DuckDB error; the message itself may quote row values."""
    if match := _MARKED.search(message):
        return match[1]
    if "Division by zero" in message:
        return "zero"
    return "overflow" if message.startswith("Out of Range") else "otherwise"


def checked(condition: str, reason: str, result: str, duckdb_type: str = "VARCHAR") -> str:
    """`result`, failing where `condition` is true. NULL passes."""
    return f"CASE WHEN {condition} THEN {failure(reason, duckdb_type)} ELSE {result} END"


_REPEATED_MAX = 120


def named(sql: str, result: Callable[[str], str], name: str = "x") -> str:
    """`result` of a value that it repeats: written out where it is short, else given a name.

    A list of one is DuckDB's way to name an intermediate result.
    """
    if len(sql) <= _REPEATED_MAX:
        return result(sql)
    return f"list_transform([{sql}], lambda {name}: {result(name)})[1]"
