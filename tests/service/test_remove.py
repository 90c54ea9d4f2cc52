"""`remove` takes back all that is ours, proves it, and touches nothing that is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.line import Line

TABLES = """
create schema shop;
create table shop.mark (mark text primary key);
create publication other for table shop.mark;
"""


@pytest.fixture
def line(tmp_path: Path, database18: Database, second_database18: Database) -> Line:
    database18.execute(TABLES)
    return Line(tmp_path / "project", database18.url, second_database18.url)


def ours(database: Database) -> list[tuple[object, ...]]:
    return database.execute(
        "select 'slot', slot_name::text from pg_replication_slots"
        " where database = current_database()"
        " union all select 'publication', pubname from pg_publication where pubname <> 'other'"
    )


def test_it_is_refused_while_capture_runs(line: Line, database18: Database) -> None:
    with line:
        line.arrives()
        done = line.command("remove", "erp", "--yes")
        assert done.returncode == 1
        assert "at work" in done.stderr
    assert len(ours(database18)) == 2


def test_it_asks_drops_what_is_ours_and_proves_it(line: Line, database18: Database) -> None:
    with line:
        line.arrives()
    asked = line.command("remove", "erp", input="n\n")
    assert asked.returncode == 1
    assert len(ours(database18)) == 2
    done = line.command("remove", "erp", "-o", "json", input="y\n")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [text.split()[0] for text in said["dropped"]] == ["slot", "publication"]
    assert (said["left"], said["kept"], said["deleted"]) == ([], [], None)
    assert database18.execute(said["proof"]) == []
    assert ours(database18) == []
    assert database18.execute("select pubname::text from pg_publication") == [("other",)]
    again = line.command("remove", "erp", "--yes")
    assert again.returncode == 0
    assert "dropped" not in again.stdout


def test_with_the_journal_a_new_snapshot_can_begin(line: Line, database18: Database) -> None:
    with line:
        line.arrives()
    journal = line.directory / ".tailrace" / "journal" / "erp"
    assert journal.exists()
    done = line.command("remove", "erp", "--yes", "--journal")
    assert done.returncode == 0, done.stderr
    assert f"deleted {journal}" in done.stdout
    assert not journal.exists()
    with line:
        line.streams()
    assert len(ours(database18)) == 2


def test_a_publication_of_the_dba_stays(line: Line, database18: Database) -> None:
    file = line.directory / "tailrace.yml"
    file.write_text(file.read_text().replace("    slot:", "    publication: other\n    slot:"))
    with line:
        line.arrives()
    done = line.command("remove", "erp", "--yes")
    assert done.returncode == 0, done.stderr
    assert "kept publication other, made by postgres" in done.stdout
    assert ours(database18) == []


def test_a_slot_that_is_not_ours_is_not_dropped(line: Line, database18: Database) -> None:
    database18.execute(f"select pg_create_physical_replication_slot('{line.slot}')")
    try:
        done = line.command("remove", "erp", "--yes")
        assert (done.returncode, "is not ours" in done.stderr) == (1, True)
    finally:
        database18.execute(f"select pg_drop_replication_slot('{line.slot}')")
