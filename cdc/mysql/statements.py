"""Statements in a binary log: what each does to the tables that are captured.

Rows come as rows events; a statement is a transaction's beginning or end, DDL, or a change that the
server logged as its text, which nobody can turn into rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import sqlglot
from sqlglot import exp

from cdc.mysql.sqltext import plain
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError

Captured = Callable[[TableName], object]

_DDL = frozenset({"alter", "create", "drop", "rename", "truncate"})
_COMMENTS = re.compile(r"\A(?:\s|/\*(?!M?!).*?\*/|--[^\n]*\n|#[^\n]*\n)+", re.DOTALL)
ROLLBACK_TO = re.compile(r"\s*rollback\s+(work\s+)?to\b", re.IGNORECASE)
BEGINS = re.compile(r"\A\s*create\s+table\b.*\bstart\s+transaction\s*\Z", re.I | re.S)
"""MySQL's CREATE TABLE … SELECT: the rows follow in the same transaction."""
_NAME = re.compile(r"(?:`((?:[^`]|``)+)`|(\w+))(?:\s*\.\s*(?:`((?:[^`]|``)+)`|(\w+)))?")
_TABLE = re.compile(r"\btable\s+(?:if\s+(?:not\s+)?exists\s+)?", re.IGNORECASE)
REPLACES = {
    "drop": re.compile(r"\s*drop\s+table\b", re.IGNORECASE),
    "rename": re.compile(r"\s*rename\s+table\b", re.IGNORECASE),
    "create": re.compile(r"\s*create\s+or\s+replace\s+table\b", re.IGNORECASE),
    "alter": re.compile(
        r"\s*alter\s.*\btable\b.*\b(?:(?:drop|truncate|exchange|discard|import)\s+"
        r"(?:partition|tablespace)|convert\s+(?:partition|table)\b"
        r"|rename\s+(?!column\b|index\b|key\b))",
        re.IGNORECASE | re.DOTALL,
    ),
}
"""What may drop or swap rows with a table."""
_DROPS_SCHEMA = re.compile(
    r"\s*(?:drop|create\s+or\s+replace)\s+(?:database|schema)\s+(?:if\s+exists\s+)?"
    r"(?:`((?:[^`]|``)+)`|(\w+))",
    re.IGNORECASE,
)
_SETS_FOR = re.compile(
    r"""\Aset\s+statement\s(?:[^'"`]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)*?\sfor\s""",
    re.IGNORECASE | re.DOTALL,
)
CHANGES_ROWS = frozenset({"insert", "update", "delete", "replace", "load", "call", "with"})


def split(statement: str, sql_mode: int = 0) -> tuple[str, str]:
    """(its first word in lower case, the statement without comments before it).

    DDL is without any comments, and what a version's comment holds is part of it, as is what
    follows SET STATEMENT … FOR.
    """
    text = _COMMENTS.sub("", statement)
    verb = _first(text)
    if verb in _DDL or verb == "set" or verb.startswith("/*"):
        text = _SETS_FOR.sub("", plain(text, sql_mode))
        verb = _first(text)
    return verb, text


def _first(text: str) -> str:
    return text[:12].split(None, 1)[0].lower().rstrip(";") if text.strip() else ""


def concerns(captured: Captured, database: str, statement: str) -> bool:
    """Whether a captured table stands in the statement; true where that cannot be told."""
    names = tables(database, statement)
    return names is None or any(map(captured, names))


_ALTERED = re.compile(
    r"\s*alter\s+(?:online\s+)?(?:ignore\s+)?table\s+(?:if\s+exists\s+)?" + _NAME.pattern,
    re.IGNORECASE,
)


def altered(database: str, statement: str) -> TableName | None:
    """The table of an ALTER TABLE; None where that is not understood."""
    matched = _ALTERED.match(statement)
    if matched is None:
        return None
    quoted, plain, inner, name = (group or "" for group in matched.groups())
    first, second = quoted.replace("``", "`") or plain, inner.replace("``", "`") or name
    return TableName(first, second) if second else TableName(database, first)


def refuse_replacing(
    captured: Captured,
    in_schema: Callable[[str], bool],
    database: str,
    verb: str,
    statement: str,
    sql_mode: int = 0,
) -> None:
    """Rows that go or come with their table stand in no rows event. Errors: ContinuityError."""
    if (dropped := _DROPS_SCHEMA.match(statement)) and in_schema(_name(dropped)):
        raise ContinuityError(
            "a database with captured tables was dropped; their rows' end is not in the log",
            where={"database": _name(dropped)},
            fix=START_OVER,
        )
    statement = plain(statement, sql_mode, texts=False)
    if not REPLACES[verb].match(statement):
        return
    rest = _TABLE.split(statement, maxsplit=1)[-1]
    names = _NAME.findall(rest)
    for quoted, bare, inner, name in names if verb in ("drop", "rename") else names[:1]:
        first, second = quoted.replace("``", "`") or bare, inner.replace("``", "`") or name
        table = TableName(first, second) if second else TableName(database, first)
        if captured(table):
            raise ContinuityError(
                "a captured table was dropped, renamed or made anew, or lost a partition; what"
                " that did to its rows is not in the log",
                where={"table": str(table)},
                fix=START_OVER,
            )


def _name(matched: re.Match[str]) -> str:
    return (matched[1] or "").replace("``", "`") or matched[2]


def tables(database: str, statement: str) -> list[TableName] | None:
    """The tables that a statement names; None where it cannot be parsed, or names none."""
    try:
        parsed = sqlglot.parse_one(statement, read="mysql")
    except sqlglot.errors.SqlglotError:
        return None
    found = [TableName(table.db or database, table.name) for table in parsed.find_all(exp.Table)]
    return found or None
