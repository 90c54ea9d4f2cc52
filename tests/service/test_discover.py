"""`discover` writes what `check` accepts as it is, and never writes over anything."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Database
from tests.line import Line

TABLES = """
create schema sales; create schema crm;
create type sales.mood as enum ('good', 'bad');
create table sales.kunden (
    id bigint primary key, kz char(2) not null, name1 varchar(40), limit_ numeric(12,2),
    "Umsatz je Jahr" numeric, geburt date, seit timestamptz, mood sales.mood, tags text[],
    doc jsonb, bild bytea, aktiv boolean, gewicht double precision, "order" int, zeit time
);
create table sales."Position" (artikel text, sprache char(2), menge int not null,
    primary key (artikel, sprache));
create table sales.keyless (a int);
create table crm.kunden (id int primary key);
create view sales.seen as select 1 as one;
insert into sales.kunden (id, kz, name1, limit_, mood) values (1, 'A', 'Müller', 10.5, 'good');
"""


def project(tmp_path: Path, source: Database, target: Database) -> Line:
    source.execute(TABLES)
    rules = '- {tables: [sales.kunden], into: "copy.{table}"}'
    tables = 'sales.*, crm.*, "!sales.keyless"'
    return Line(tmp_path / "project", source.url, target.url, tables=tables, rules=rules)


def test_what_is_discovered_passes_check_and_is_kept_the_second_time(
    tmp_path: Path, database: Database, second_database18: Database
) -> None:
    line = project(tmp_path, database, second_database18)
    done = line.command("discover", "erp", "-o", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["mappings"] == ["erp_kunden", "erp_Position"]
    assert said["skipped"] == {"sales.kunden": "entity kunden is made of crm.kunden already"}
    assert len(said["written"]) == 4
    before = {path: Path(path).read_text() for path in said["written"]}
    use(line, said["mappings"])
    checked = line.command("check", "-o", "json")
    assert checked.returncode == 0, checked.stdout
    again = line.command("discover", "erp")
    assert again.returncode == 0
    assert again.stdout.count("kept ") == 4
    assert {path: Path(path).read_text() for path in before} == before


def test_discovered_mappings_carry_rows_as_they_are(
    tmp_path: Path, database18: Database, second_database18: Database
) -> None:
    database18.execute(
        TABLES + "drop table crm.kunden; create table sales.mark (mark text primary key)"
    )
    rules = "- {tables: [sales.mark]}"
    line = Line(
        tmp_path / "project", database18.url, second_database18.url, tables='sales.*, "!*.keyless"',
        rules=rules,
    )  # fmt: skip
    said = json.loads(line.command("discover", "erp", "-o", "json").stdout)
    use(line, [name for name in said["mappings"] if name != "erp_mark"])
    with line:
        line.arrives("sales.mark")
    rows = second_database18.execute("select id, kz, name1, limit_::text, mood from kunden")
    assert rows == [(1, "A", "Müller", "10.50", "good")]


def use(line: Line, mappings: list[str]) -> None:
    file = line.directory / "tailrace.yml"
    file.write_text(file.read_text() + f"    mappings: [{', '.join(mappings)}]\n")


def test_tables_without_a_key_are_skipped_with_the_reason(
    tmp_path: Path, database18: Database, second_database18: Database
) -> None:
    line = project(tmp_path, database18, second_database18)
    file = line.directory / "tailrace.yml"
    file.write_text(file.read_text().replace(', "!sales.keyless"', ""))
    done = line.command("discover", "erp")
    assert done.returncode == 0, done.stderr
    assert "skipped sales.keyless: no key" in done.stdout
    assert "seen" not in done.stdout


def test_an_unknown_source_and_one_without_tables_are_refused(
    tmp_path: Path, database18: Database, second_database18: Database
) -> None:
    line = project(tmp_path, database18, second_database18)
    assert line.command("discover", "eprt").returncode == 2
    database18.execute("drop schema sales cascade; drop schema crm cascade")
    done = line.command("discover", "erp")
    assert (done.returncode, "no table" in done.stderr) == (2, True)
    assert not (line.directory / "entities").exists()


def test_a_preview_of_what_was_discovered(
    tmp_path: Path, database18: Database, second_database18: Database
) -> None:
    line = project(tmp_path, database18, second_database18)
    database18.execute("drop table crm.kunden")
    made = json.loads(line.command("discover", "erp", "-o", "json").stdout)["mappings"]
    use(line, made)
    shown = line.command("preview", "erp_kunden")
    assert shown.returncode == 0, shown.stderr
    assert "name1=Müller" in shown.stdout
    assert "1 rows: 1 mapped" in shown.stdout
    assert line.command("preview", "erp_Position").stdout == "sales.Position is empty\n"
