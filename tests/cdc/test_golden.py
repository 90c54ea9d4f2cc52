"""SQL in, changes out: each golden file runs on a real server and is compared line by line.

``GOLDEN=write pytest tests/cdc/test_golden.py`` writes the files anew, to be checked by eye; it
also records the bytes that `test_decode.py` decodes without a server.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdc.postgres import stream as stream_module
from cdc.postgres.decode import PgoutputDecoder
from tests.cdc.render import render
from tests.cdc.streams import captured, describe, prepared

GOLDEN = Path(__file__).with_name("golden")
RECORDED = Path(__file__).with_name("recorded")
WRITE = os.environ.get("GOLDEN") == "write"


@pytest.mark.parametrize("sql", sorted(GOLDEN.glob("*.sql")), ids=lambda path: path.stem)
def test_changes_are_what_the_golden_file_says(
    sql: Path, database, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = bytearray()
    if WRITE:
        _record(monkeypatch, recorded)
    with prepared(database.url, sql) as end:
        sets = captured(database.url, end, PgoutputDecoder(describe))
    lines = "\n".join(render(sets)) + "\n"
    expected = sql.with_suffix(".changes")
    if WRITE:
        expected.write_text(lines)
        (RECORDED / f"{sql.stem}.bin").write_bytes(recorded)
    assert lines == expected.read_text()


def _record(monkeypatch: pytest.MonkeyPatch, into: bytearray) -> None:
    receive = stream_module.SocketTransport.receive

    def recording(self, buffer):
        size = receive(self, buffer)
        into.extend(buffer[:size])
        return size

    monkeypatch.setattr(stream_module.SocketTransport, "receive", recording)


def test_sets_are_cut_at_the_row_limit_and_joined_again(database) -> None:
    sql = GOLDEN / "operations.sql"
    with prepared(database.url, sql) as end:
        sets = captured(database.url, end, PgoutputDecoder(describe, rows_max=1), buffer_bytes=64)
    assert max(changes.rows for changes in sets) == 2  # the TRUNCATE of two tables
    assert [changes.part for changes in sets if not changes.complete]
    assert "\n".join(render(sets)) + "\n" == sql.with_suffix(".changes").read_text()
