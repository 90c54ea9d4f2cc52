"""Integers that SQLite would keep as doubles."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sinks.embedded.texts import Unfit
from sinks.sqlite.types import column_type
from transforms.rows import TargetColumn


def test_integers_beyond_64_bits_are_refused() -> None:
    convert = column_type(TargetColumn("n", "bigint")).convert
    ends = pa.array(["9223372036854775807", "-9223372036854775808", None, "-7"])
    assert convert(ends).equals(ends)
    for beyond in ("9223372036854775808", "-9223372036854775809"):
        with pytest.raises(Unfit) as raised:
            convert(pa.array(["1", beyond]))
        assert raised.value.row == 1
