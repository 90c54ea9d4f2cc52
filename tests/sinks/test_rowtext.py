"""COPY text against what PostgreSQL reads from it, in both variants."""

from __future__ import annotations

import datetime as dt
import os
import struct
import subprocess
import sys

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.rowtext import DOUBLE, MOMENT, PIECE_BYTES, TEXT, Unfit, copy_text, counted

values = st.none() | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
) | st.sampled_from(["", "\\N", "\\.", "\t", "\n", "\r\n", "\\"])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=300), st.integers(0, 3))
def test_postgres_reads_back_the_same(
    pg18_copy: psycopg.Connection, rows: list[tuple[str | None, str | None]], skip: int
) -> None:
    skip = min(skip, len(rows) - 1)
    columns = [pa.array(column, pa.string()).slice(skip) for column in zip(*rows, strict=True)]
    pg18_copy.execute("truncate copied")
    with pg18_copy.cursor().copy("copied".join(("copy ", " (a, b) from stdin"))) as copy:
        for piece in copy_text(columns):
            copy.write(piece)
    found = pg18_copy.execute("select a, b from copied order by n").fetchall()
    assert found == rows[skip:]


@pytest.fixture(scope="session")
def pg18_copy(pg18):
    with psycopg.connect(pg18.url(), autocommit=True) as connection:
        connection.execute("create temporary table copied (a text, b text, n serial)")
        yield connection


def test_other_types_are_cast_to_text() -> None:
    columns = [pa.array([1, None, 3]), pa.array([True, False, None])]
    assert b"".join(copy_text(columns)) == b"1\ttrue\n\\N\tfalse\n3\t\\N\n"


def test_many_rows_come_in_pieces() -> None:
    rows = 10_000
    pieces = list(copy_text([pa.array([str(n) for n in range(rows)])]))
    assert len(pieces) > 1
    assert b"".join(pieces) == "".join(f"{n}\n" for n in range(rows)).encode()


def test_pieces_are_bounded_by_their_bytes_too() -> None:
    sizes = [1, 300_000, 200_000, 10, 3_000_000, 5, 5]
    pieces = list(copy_text([pa.array(["x" * size for size in sizes])]))
    assert b"".join(pieces) == b"".join(b"x" * size + b"\n" for size in sizes)
    assert all(len(piece) <= PIECE_BYTES or piece.count(b"\n") == 1 for piece in pieces)
    assert len(pieces) < len(sizes)


def test_bytes_travel_as_hex() -> None:
    columns = [pa.array([b"\x00\xff", None, b""]), pa.array([1.5, float("nan"), None])]
    assert b"".join(copy_text(columns)) == b"\\\\x00ff\t1.5\n\\N\tnan\n\\\\x\t\\N\n"


@pytest.mark.skipif("TAILRACE_VARIANT_RUN" in os.environ, reason="already inside")
@pytest.mark.parametrize("pure", ["0", "1"])
def test_each_variant_passes_the_same(pure: str) -> None:
    environment = {**os.environ, "TAILRACE_PURE": pure, "TAILRACE_VARIANT_RUN": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_counted_text() -> None:
    """Each form of a length, by the bytes that the protocol's page gives."""
    sizes = [0, 1, 250, 251, 65535, 65536, 70000]
    column = pa.array(["x" * size for size in sizes] + [None])
    given = bytes(b"".join(counted([column], [TEXT])))
    wanted = b"".join(_counted("x" * size) for size in sizes) + b"\x01"
    assert given == wanted


def _counted(text: str) -> bytes:
    raw = text.encode()
    size = len(raw)
    if size < 251:
        head = bytes([size])
    elif size < 65536:
        head = b"\xfc" + size.to_bytes(2, "little")
    else:
        head = b"\xfe" + size.to_bytes(8, "little")
    return b"\x00" + head + raw


@given(st.lists(st.tuples(*[st.none() | st.text(max_size=300)] * 3), max_size=50), st.data())
def test_counted_rows_of_slices(rows: list[tuple[str | None, ...]], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(rows)))
    columns = [pa.array([row[i] for row in rows], pa.string()).slice(first) for i in range(3)]
    wanted = b"".join(
        b"\x01" if value is None else _counted(value) for row in rows[first:] for value in row
    )
    assert b"".join(counted(columns, [TEXT] * 3)) == wanted


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), max_size=50))
def test_counted_doubles(numbers: list[float | None]) -> None:
    texts = pa.array([None if number is None else repr(number) for number in numbers], pa.string())
    wanted = b"".join(
        b"\x01" if number is None else b"\x00" + struct.pack("<d", number) for number in numbers
    )
    assert b"".join(counted([texts], [DOUBLE])) == wanted


@given(st.lists(st.dates() | st.datetimes(), max_size=50), st.integers(0, 6))
def test_counted_moments(moments: list[dt.date], digits: int) -> None:
    texts, wanted = [], b""
    for moment in moments:
        wanted += b"\x00"
        if isinstance(moment, dt.datetime):
            micro = moment.microsecond // 10 ** (6 - digits)
            text = f"{moment:%H:%M:%S}" + (f".{micro:0{digits}}" if digits else "")
            texts.append(f"{moment.year:04}-{moment:%m-%d} {text}")
            micro *= 10 ** (6 - digits)
            parts = (*moment.timetuple()[:6], micro)
            wanted += b"\x0b" + struct.pack("<HBBBBBI", *parts)
        else:
            texts.append(f"{moment.year:04}-{moment:%m-%d}")
            wanted += b"\x04" + struct.pack("<HBB", *moment.timetuple()[:3])
    assert b"".join(counted([pa.array(texts, pa.string())], [MOMENT])) == wanted


NO_DOUBLES = ["", "-", "NaN", "Infinity", "-Infinity", "1e", "1 ", "x", "0x1p1", "1" * 41, "1_0"]


@pytest.mark.parametrize("text", NO_DOUBLES)
def test_what_is_no_double(text: str) -> None:
    with pytest.raises(Unfit):
        list(counted([pa.array(["1.5", text])], [DOUBLE]))


NO_MOMENTS = [
    *("", "infinity", "0000-00-00", "2024-00-01", "2024-01-00", "2024-01-01 BC", "10000-01-01"),
    *("2024-01-01T00:00:00", "2024-01-01 00:00:00.", "2024-01-01 00:00:00+00", "2024/01/01"),
    *("2024-01-01 00:00:00.1234567", "2024-01-01 0a:00:00", "-024-01-01"),
]


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(Unfit):
        list(counted([pa.array(["2024-01-01", text])], [MOMENT]))
