from __future__ import annotations

from pathlib import Path

from tailrace.journal.conformance import change_set
from tailrace.journal.hints import read_hints, write_hint
from tailrace.journal.paths import JournalPaths
from tailrace.journal.sqlite import SqliteWriter


def test_a_missing_hint_counts_as_nothing(tmp_path: Path) -> None:
    write_hint(tmp_path / "hints", "erp_to_hub", 17)
    assert read_hints(tmp_path / "hints", ["erp_to_hub", "other"]) == {"erp_to_hub": 17, "other": 0}
    assert read_hints(tmp_path / "nowhere", ["erp_to_hub"]) == {"erp_to_hub": 0}


def test_the_last_hint_counts(tmp_path: Path) -> None:
    for offset in (5, 123_456_789_012, 7):
        write_hint(tmp_path, "a/../b", offset)
        assert read_hints(tmp_path, ["a/../b"]) == {"a/../b": offset}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_hint_counts_as_nothing(tmp_path: Path) -> None:
    write_hint(tmp_path, "p", 123)
    (file,) = tmp_path.iterdir()
    for damaged in (b"", b"12", b"-1\n", b"\0\0\0\0", b"12 3\n", "²\n".encode()):
        file.write_bytes(damaged)
        assert read_hints(tmp_path, ["p"]) == {"p": 0}


def test_hints_of_an_earlier_journal_are_forgotten(tmp_path: Path) -> None:
    """They would let a new journal drop entries that no pipeline has seen."""
    paths = JournalPaths.of(tmp_path, "erp")
    write_hint(paths.hints, "p", 1000)
    with SqliteWriter(paths.file) as writer:
        assert read_hints(paths.hints, ["p"]) == {"p": 0}
        write_hint(paths.hints, "p", writer.append([change_set()]))
    with SqliteWriter(paths.file):
        assert read_hints(paths.hints, ["p"]) == {"p": 1}
