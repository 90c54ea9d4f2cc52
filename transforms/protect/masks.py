"""Masks: a value of the same type that says little of the one before. NULL stays NULL.

| type                   | becomes                                                            |
|------------------------|--------------------------------------------------------------------|
| text, `first`          | the first character and `***`; a text of less than 4: `***`        |
| text, `last4`          | `***` and the last four; a text of less than 8: `***`              |
| text, `all`            | `***`                                                              |
| date, timestamps       | the first of January of its year; infinity stays                   |
| all others             | the zero of their type: 0, false, `00:00:00`, `{}`, no bytes       |
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from transforms.classes import MaskStyle
from transforms.columns import TEXT

STARS = "***"
_FIRST_FROM = 4
_LAST_FROM = 8
"""Characters from which on the rest hides more than is shown."""

_DATE = r"^([0-9]{4,})-[0-9]{2}-[0-9]{2}.*?( BC)?$"
_ENDLESS = r"^-?infinity$"
_MOMENTS = {
    "date": r"\1-01-01\2",
    "timestamp without time zone": r"\1-01-01 00:00:00\2",
    "timestamp with time zone": r"\1-01-01 00:00:00+00\2",
}
_ZEROS = {
    "smallint": "0",
    "bigint": "0",
    "numeric": "0",
    "double precision": "0",
    "boolean": "f",
    "time without time zone": "00:00:00",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "jsonb": "{}",
    "bytea": "\\x",
}


def masked(values: pa.Array, type_: str, style: MaskStyle = "first") -> pa.Array:
    """`type_`: of the column, as in `TargetColumn`. The result is text."""
    if type_ == "text":
        return _text(values.cast(TEXT), style)
    if type_ in _MOMENTS:
        return _moment(values.cast(TEXT), _MOMENTS[type_])
    return _constant(values, _ZEROS[type_.partition("(")[0]])


def _text(values: pa.Array, style: MaskStyle) -> pa.Array:
    if style == "all":
        return _constant(values, STARS)
    length = pc.utf8_length(values)
    if style == "first":
        rest = pc.utf8_slice_codeunits(values, 0, 1)
        return pc.if_else(
            pc.greater_equal(length, _FIRST_FROM),
            pc.binary_join_element_wise(rest, STARS, ""),
            STARS,
        )
    rest = pc.utf8_slice_codeunits(values, -4)
    return pc.if_else(
        pc.greater_equal(length, _LAST_FROM), pc.binary_join_element_wise(STARS, rest, ""), STARS
    )


def _moment(values: pa.Array, pattern: str) -> pa.Array:
    """What is no date becomes stars, which the target refuses: it is neither shown nor invented."""
    known = pc.match_substring_regex(values, _DATE)
    first = pc.replace_substring_regex(values, _DATE, pattern)
    endless = pc.match_substring_regex(values, _ENDLESS)
    return pc.if_else(known, first, pc.if_else(endless, values, STARS))


def _constant(values: pa.Array, text: str) -> pa.Array:
    return pc.if_else(values.is_valid(), pa.scalar(text, TEXT), pa.scalar(None, TEXT))
