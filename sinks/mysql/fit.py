"""How a column's values go into the column that is there, which somebody else may have made.

The server alters some values without a word: it rounds numbers with a fraction into integers, takes
2000 for the year '0', pads BINARY, and finds the label of an ENUM by its number. So a table is
refused unless each value of what is sent would either arrive unchanged or be refused by the server;
`_TAKEN` says what that holds for, and tests/sinks/test_mariadb_fit.py tries all of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from sinks.mysql import families as of
from sinks.mysql.catalog import CatalogColumn
from sinks.mysql.json_column import only_kept
from sinks.mysql.products import Product
from sinks.mysql.types import ColumnType
from sinks.rowtext import DOUBLE, MOMENT, TEXT, as_text
from transforms.rows import TargetColumn

INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
TEXTS = frozenset({"varchar", "tinytext", "text", "mediumtext", "longtext"})
STRINGS = TEXTS | {"char"}
BLOBS = frozenset({"varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
LABELS = frozenset({"enum", "set"})
MOMENTS = frozenset({"date", "datetime", "timestamp"})
FLOATS = frozenset({"float", "double"})

_TAKEN: Mapping[str, frozenset[str]] = {
    of.INTEGER: INTEGERS | STRINGS | LABELS | {"decimal"},
    of.YEAR: INTEGERS | STRINGS | {"decimal", "year", "double"},
    of.DECIMAL: STRINGS | {"decimal"},
    of.SINGLE: STRINGS | FLOATS,
    of.DOUBLE: STRINGS | {"decimal", "double"},
    of.BOOLEAN: INTEGERS | FLOATS | {"decimal", "bit"},
    of.BITS: INTEGERS | STRINGS | {"decimal", "bit"},
    of.DATE: STRINGS | {"date", "datetime"},
    of.MOMENT: STRINGS | {"date", "datetime"},
    of.INSTANT: frozenset({"datetime", "timestamp"}),
    of.TIME: STRINGS | {"time"},
    of.TEXT: TEXTS | BLOBS | LABELS,
    of.CHARACTERS: STRINGS | BLOBS | LABELS,
    of.UUID: STRINGS | {"uuid"},
    of.JSON: TEXTS | {"json"},
    of.BYTES: BLOBS,
}
"""Family of what is sent: kinds of columns that take all of it unchanged, or refuse the value."""

_DIGITS_EXACT = {"float": 6, "double": 15}
"""Digits of an integer that these keep, and show."""

_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.S)
_ESCAPED = re.compile(r"''|\\(.)", re.S)
_ESCAPES = {"n": "\n", "r": "\r", "0": "\0", "Z": "\x1a"}
_NOT_SHOWN = re.compile("[\U00010000-\U0010ffff]")
"""The catalog is in utf8mb3, and has a question mark for each of these."""
NO_LABEL = "\0"
"""In place of a text that is no label, or of a NULL that would become another value: the server
refuses it, and says in which row."""


def misfit(column: TargetColumn, found: CatalogColumn, product: Product) -> str | None:
    """What would happen to values that the target's column cannot hold; None where it can."""
    sent = of.sent(column)
    kind = found.kind
    if product.rounds and sent.family == of.MOMENT and kind == "date":
        return "would be rounded to the next day"
    if kind in FLOATS and "(" in found.type:
        return "would be rounded"
    if sent.family == of.INTEGER and sent.size and sent.size <= _DIGITS_EXACT.get(kind, 0):
        return None
    if sent.family == of.BYTES and kind == "binary" and found.type == f"binary({sent.size})":
        return None
    return None if kind in _TAKEN[sent.family] else _why(sent.family, kind)


def _why(family: str, kind: str) -> str:
    if kind in INTEGERS and family in (of.DECIMAL, of.SINGLE, of.DOUBLE):
        return "would be rounded"
    if kind in FLOATS:
        return "would lose digits"
    if kind == "year":
        return "would be taken for years of two digits"
    if kind == "binary":
        return "would be padded"
    if kind == "char":
        return "would lose spaces at their end"
    if kind == "timestamp":
        return "would be shown in the time zone of whoever reads them"
    return "could become others without an error"


def fitted(column: TargetColumn, type_: ColumnType, found: CatalogColumn) -> ColumnType:
    """`type_` for the column as the target has it."""
    if found.kind in LABELS:
        return replace(type_, text=_Labels(found).only, kind=TEXT)
    if found.kind in STRINGS and of.sent(column).family in (of.BITS, of.SINGLE):
        return replace(type_, read="{}", text=as_text, kind=TEXT)
    if found.kind == "json":
        return replace(type_, text=only_kept, kind=TEXT)
    if found.kind == "year" or (found.kind == "bit" and column.type == "boolean"):
        return replace(type_, read="cast({} as unsigned)")
    is_kept = (type_.kind == MOMENT and found.kind in MOMENTS) or (
        type_.kind == DOUBLE and found.kind in FLOATS
    )
    if not is_kept:
        type_ = replace(type_, kind=TEXT)
    return replace(type_, text=_NoNull(type_).only) if found.counts else type_


class _NoNull:
    """A NULL in a column that counts by itself would become the next number."""

    def __init__(self, type_: ColumnType) -> None:
        self._text = type_.text

    def only(self, column: pa.Array) -> pa.Array:
        return pc.fill_null(self._text(column), NO_LABEL)


class _Labels:
    def __init__(self, found: CatalogColumn) -> None:
        labels = [_ESCAPED.sub(_plain, label) for label in _LABEL.findall(found.type)]
        self._places = {label: place for place, label in enumerate(labels)}
        self._many = found.kind == "set"
        self._is_exact = (found.collation or "").endswith("_bin")

    def only(self, column: pa.Array) -> pa.Array:
        coded = as_text(column).dictionary_encode()
        known = [text if self._has(text) else NO_LABEL for text in coded.dictionary.to_pylist()]
        return pc.take(pa.array(known, pa.string()), coded.indices)

    def _has(self, text: str) -> bool:
        if not self._many:
            return self._place(text) >= 0
        # The server puts labels into its own order, and doubles of one into one.
        places = [self._place(label) for label in text.split(",")] if text else []
        return -1 not in places and all(a < b for a, b in itertools.pairwise(places))

    def _place(self, label: str) -> int:
        """-1 for none. What the catalog does not show is for the server to judge, where it does not
        take one such character for another; a text with one it takes for no number."""
        place = self._places.get(label, -1)
        if place >= 0 or not self._is_exact:
            return place
        return self._places.get(_NOT_SHOWN.sub("?", label), -1)


def _plain(escaped: re.Match[str]) -> str:
    letter = escaped[1]
    return "'" if letter is None else _ESCAPES.get(letter, letter)
