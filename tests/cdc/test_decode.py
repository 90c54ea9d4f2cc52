"""The decoder against recorded bytes, in both variants, in pieces, and against garbage."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.changes import ChangeSet
from cdc.postgres.decode import CopyDecoder, PgoutputDecoder
from cdc.postgres.lsn import parse_lsn
from cdc.schema import Column, TableName, TableSchema
from tailrace.errors import DecodeError
from tests.cdc.render import render
from tests.cdc.streams import describe

GOLDEN = Path(__file__).with_name("golden")
RECORDINGS = sorted(Path(__file__).with_name("recorded").glob("*.bin"))


def decode(data: bytes, decoder: PgoutputDecoder, piece: int | None = None) -> list[ChangeSet]:
    """Feed `data` in pieces of `piece` bytes, as a socket might deliver it."""
    sets = []
    buffer = bytearray()
    for at in range(0, len(data), piece or len(data) or 1):
        buffer += data[at : at + (piece or len(data))]
        start = 0
        while True:
            start = decoder.feed(buffer, start, len(buffer))
            if not decoder.full or start == len(buffer):
                break
            sets.append(decoder.take())
        del buffer[:start]
    if (last := decoder.take()) is not None:
        sets.append(last)
    return sets


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("piece", [None, 1, 7, 1000])
def test_recorded_bytes(recording: Path, piece: int | None) -> None:
    sets = decode(recording.read_bytes(), PgoutputDecoder(describe), piece)
    expected = (GOLDEN / f"{recording.stem}.changes").read_text()
    assert "\n".join(render(sets)) + "\n" == expected


@pytest.mark.parametrize("pure", ["0", "1"])
def test_each_variant_passes_the_same(pure: str) -> None:
    """This file's other tests, run in a process where the variant is forced."""
    if os.environ.get("TAILRACE_VARIANT_RUN"):
        pytest.skip("already inside")
    check = "from cdc.postgres.decode import COMPILED; assert not COMPILED"
    environment = {**os.environ, "TAILRACE_PURE": pure, "TAILRACE_VARIANT_RUN": "1"}
    if pure == "1":
        subprocess.run([sys.executable, "-c", check], env=environment, check=True)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_a_resume_skips_whole_transactions_only() -> None:
    data = next(path for path in RECORDINGS if path.stem == "operations").read_bytes()
    every = decode(data, PgoutputDecoder(describe, rows_max=1))
    positions = [set_.position for set_ in every if set_.complete]
    middle = parse_lsn(positions[len(positions) // 2])
    rest = decode(data, PgoutputDecoder(describe, resume=middle, rows_max=1))
    assert 0 < len(rest) < len(every)
    assert render(rest) == render(
        [set_ for set_ in every if parse_lsn(set_.transactions[1][0].as_py()) >= middle]
    )


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_bytes_give_typed_errors_only(recording: Path, data: st.DataObject) -> None:
    damaged = bytearray(recording.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "flip":
            damaged[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del damaged[at : at + data.draw(st.integers(1, 8))]
        else:
            damaged[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    with contextlib.suppress(DecodeError, UnicodeDecodeError):
        render(decode(bytes(damaged), PgoutputDecoder(describe)))  # reading finds what is no UTF-8


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_gives_typed_errors_only(garbage: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(garbage, PgoutputDecoder(describe))


SCHEMA = TableSchema(
    TableName("public", "t"), (Column("a", "text", "text"), Column("b", "text", "text")), ("a",)
)


def copy_escaped(value: str | None) -> str:
    if value is None:
        return "\\N"
    for plain, escaped in (
        ("\\", "\\\\"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"), ("\r", "\\r"),
        ("\t", "\\t"), ("\v", "\\v"),
    ):  # fmt: skip
        value = value.replace(plain, escaped)
    return value


texts = (
    st.none()
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["", "\\N", "\\.", "\t", "\n", "N"])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=100), st.integers(1, 50))
def test_copy_text_is_undone_exactly(rows: list[tuple[str | None, str | None]], piece: int) -> None:
    data = "".join("\t".join(map(copy_escaped, row)) + "\n" for row in rows).encode()
    decoder = CopyDecoder(SCHEMA, "0/10", 0)
    buffer = bytearray()
    for at in range(0, len(data), piece):
        buffer += data[at : at + piece]
        del buffer[: decoder.feed(buffer, 0, len(buffer))]
    assert not buffer
    (table,) = decoder.take(complete=True).tables
    assert chr(table.op[0].as_py()) == "t"
    got = list(zip(*(column.to_pylist()[1:] for column in table.new), strict=True))
    assert got == rows


@pytest.mark.parametrize("line", ["a\n", "a\tb\tc\n", "\\Nx\tb\n", "a\\\n"])
def test_a_copy_line_of_another_shape_is_refused(line: str) -> None:
    buffer = bytearray(line.encode())
    with pytest.raises(DecodeError):
        CopyDecoder(SCHEMA, "0/10", 0).feed(buffer, 0, len(buffer))
