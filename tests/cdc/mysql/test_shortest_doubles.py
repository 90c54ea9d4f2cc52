"""Our shortest decimals of doubles against Python's `repr`, which is known to be right."""

from __future__ import annotations

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.mysql import _shortest
from cdc.mysql.layout import COMPILED, rows

pytestmark = pytest.mark.skipif(not COMPILED, reason="uncompiled, repr itself is asked")


def same(value: float) -> bool:
    return bool(_shortest.shortest_text(value) == rows.shortest_double(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any(value: float) -> None:
    assert same(value)


def test_at_the_boundaries() -> None:
    values = [0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e16, 1e15, 1e-4, 1e-5]
    values += [2.0**e for e in range(-1074, 1024)] + [float(f"1e{e}") for e in range(-323, 309)]
    for value in list(values):
        values += [math.nextafter(value, 0), math.nextafter(value, math.inf)]
    for value in values:
        if math.isfinite(value):
            assert same(value), value
            assert same(-value), value


def test_many() -> None:
    chance = random.Random(7)
    for _ in range(200_000):
        value = struct.unpack("<d", chance.randbytes(8))[0]
        if math.isfinite(value):
            assert same(value), value
        assert same(chance.randrange(10**15) / 10 ** chance.randrange(25))
