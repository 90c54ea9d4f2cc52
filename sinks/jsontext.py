"""Arrow columns as JSON texts, one a row; `_jsontext` is the hot part.

A `Template` is what a text is made of. A value whose text is not of its kind's usual form (a date
before the year 1, forty digits) makes its column be converted by `Field.slowly`, value by value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sinks.rowtext import as_text
from tailrace.buffers import column_of
from tailrace.variants import load

_jsontext: Any = load("sinks._jsontext")
COMPILED: bool = bool(_jsontext.COMPILED)
TooLong: type[ValueError] = _jsontext.TooLong

RAW, TEXT, BOOLEAN, NUMBER, DECIMAL, DATE, TIME, TIMESTAMP, ZONED, BYTES, SLOW = range(11)
"""As in `_jsontext`; SLOW: always by `Field.slowly`."""

Flags = npt.NDArray[np.bool_]


class Misfit(ValueError):
    """A value that has no form in what its field becomes. `row`: which; `field`: its name."""

    def __init__(self, row: int, field: str) -> None:
        self.row = row
        self.field = field
        super().__init__(field)


def text_of(text: str) -> str:
    """A string of JSON."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Field:
    """How a column's values stand in JSON.

    kind, unit  see `_jsontext`
    slowly      a text as JSON, whatever its form. Errors: ValueError, it has none there
    nothing     what stands for a value that is there but unknown, as JSON: NULL, or a zero
    absent      what stands for a value that was not sent, as JSON; None: the field is left out
    """

    name: str
    kind: int
    unit: int = 0
    slowly: Callable[[str], str] = text_of
    nothing: str = "null"
    absent: str | None = None


class Template:
    """Parts in order; all columns have the same number of rows. Errors of all: Misfit."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[Any] = []
        self._values: dict[int, tuple[Field, pa.Array, Flags | None]] = {}
        self._opened: list[int] = []

    def constant(self, text: str) -> None:
        self._parts.append(_jsontext.Part(_jsontext.CONSTANT, text.encode()))

    def pick(self, texts: Sequence[str], index: npt.NDArray[Any]) -> None:
        """One of a few texts in each row."""
        if len(texts) == 1:
            self.constant(texts[0])
            return
        self._parts.append(
            _jsontext.Part(
                _jsontext.PICK,
                texts=[text.encode() for text in texts],
                index=pa.py_buffer(np.ascontiguousarray(index, np.int32)),
            )
        )

    def open(self, present: Flags | None = None) -> None:
        """An object; null where it is not present. What follows are its fields, up to `close`."""
        self._opened.append(len(self._parts))
        self._parts.append((present,))

    def close(self) -> None:
        at = self._opened.pop()
        (present,) = self._parts[at]
        self._parts[at] = _jsontext.Part(
            _jsontext.OPEN, flags=_buffer(present), end=len(self._parts)
        )
        self._parts.append(_jsontext.Part(_jsontext.CLOSE))

    def value(self, field: Field, column: pa.Array, absent: Flags | None = None) -> None:
        """A field of the open object. `absent`: rows that have `Field.absent` instead."""
        at = len(self._parts)
        self._values[at] = field, column, absent
        if field.kind == SLOW:
            self._parts.append(None)
            self._convert(at)
        else:
            self._parts.append(self._part(field, as_text(column), field.kind, absent))

    def texts(self) -> pa.BinaryArray:
        """Errors: Misfit; TooLong where they would be 2 GiB and more."""
        while True:
            try:
                data, offsets = _jsontext.encode(self._parts, 0, self._rows, 256)
            except _jsontext.Unfit as unfit:
                self._convert(unfit.args[0])
            else:
                buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
                return pa.BinaryArray.from_buffers(pa.binary(), self._rows, buffers)

    def _convert(self, at: int) -> None:
        field, column, absent = self._values[at]
        converted: list[str | None] = []
        for row, text in enumerate(as_text(column).to_pylist()):
            try:
                converted.append(None if text is None else field.slowly(text))
            except ValueError:
                raise Misfit(row, field.name) from None
        self._parts[at] = self._part(field, pa.array(converted, pa.string()), RAW, absent)

    def _part(self, field: Field, column: pa.StringArray, kind: int, absent: Flags | None) -> Any:
        name = text_of(field.name)
        return _jsontext.Part(
            _jsontext.VALUE,
            f"{name}:".encode(),
            flags=_buffer(absent),
            kind=kind,
            unit=field.unit,
            absent=None if field.absent is None else f"{name}:{field.absent},".encode(),
            column=column_of(column),
        )


def _buffer(flags: Flags | None) -> pa.Buffer | None:
    return None if flags is None else pa.py_buffer(np.ascontiguousarray(flags, np.uint8))
