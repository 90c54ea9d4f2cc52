"""What texts are values of a type, as PostgreSQL prints them.

An engine's own reading is wider, and makes other values of what is none: 2 of the integer 1.5, a
date of a date with a time.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from sinks.rowtext import as_text

_DAY = r"\d{4,7}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_HOURS = r"(?:(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?|24:00:00)"
_ZONE = r"[+-]\d\d(?::\d\d)?(?::\d\d)?"
DATE = rf"^(?:{_DAY}(?: BC)?|-?infinity)$"
MOMENT = rf"^(?:{_DAY} {_HOURS}(?: BC)?|-?infinity)$"
INSTANT = rf"^(?:{_DAY} {_HOURS}(?:{_ZONE})?(?: BC)?|-?infinity)$"
"""In UTC where it names no zone."""
TIME = rf"^{_HOURS}$"
INTEGER = r"^-?\d{1,19}$"


class Unfit(ValueError):
    """`row` has no value of the column's type."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def matching(column: pa.Array, form: str) -> pa.Array:
    """The column as text. Errors: Unfit with the first row that is not of this form."""
    text = as_text(column)
    right = pc.match_substring_regex(text, form).fill_null(True)
    if (wrong := pc.index(right, False).as_py()) >= 0:
        raise Unfit(wrong)
    return text
