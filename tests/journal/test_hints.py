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
    whole = file.read_bytes()
    for damaged in (b"", whole[:-1], whole + b"\n", bytes(len(whole)), whole.replace(b"1", b"-")):
        file.write_bytes(damaged)
        assert read_hints(tmp_path, ["p"]) == {"p": 0}


def test_a_hint_caught_half_written_is_never_ahead(tmp_path: Path) -> None:
    """Half of 199 and half of 200 must not be read as 299."""
    write_hint(tmp_path, "p", 199)
    (file,) = tmp_path.iterdir()
    old = file.read_bytes()
    write_hint(tmp_path, "p", 200)
    new = file.read_bytes()
    for size in range(len(new) + 1):
        for torn in (new[:size] + old[size:], old[:size] + new[size:]):
            file.write_bytes(torn)
            expected = {old: 199, new: 200}.get(torn, 0)
            assert read_hints(tmp_path, ["p"]) == {"p": expected}


def test_hints_of_an_earlier_journal_are_forgotten(tmp_path: Path) -> None:
    """They would let a new journal drop entries that no pipeline has seen."""
    paths = JournalPaths.of(tmp_path, "erp")
    write_hint(paths.hints, "p", 1000)
    with SqliteWriter(paths.file) as writer:
        assert read_hints(paths.hints, ["p"]) == {"p": 0}
        write_hint(paths.hints, "p", writer.append([change_set()]))
    with SqliteWriter(paths.file):
        assert read_hints(paths.hints, ["p"]) == {"p": 1}
