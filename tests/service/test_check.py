"""`check` and its script, run for real: what the script makes is enough, and can be taken back."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tailrace.service.localpg import LocalPostgres
from tests.conftest import Database, _fresh
from tests.line import DEADLINE_S
from tests.long import long

SOURCE = """
create schema sales; create schema "odd.Schema";
create table sales.customer (id int primary key, name text not null, country char(2));
create table sales.parted (id int, day date, primary key (id, day)) partition by range (day);
create table sales.parted_all partition of sales.parted default;
create table sales.parent (id int primary key);
create table sales.child (primary key (id)) inherits (sales.parent);
create table sales.hidden (id int primary key);
alter table sales.hidden enable row level security;
create table sales.scratch (id int);
create table sales.tmp_1 (id int);
create table "odd.Schema"."It's" (id int primary key);
create table public.other (id int primary key);
insert into sales.customer values (1, 'one', 'DE'), (2, 'two', 'AT');
insert into sales.parted values (1, '2020-01-01');
insert into sales.child values (7);
insert into sales.hidden values (1);
insert into "odd.Schema"."It's" values (5);
"""
PROJECT = """\
version: 1
project: acme
sources:
  erp:
    type: postgres
    url: {source}
    tables: [sales.*, '"odd.Schema"."It''s"', "!sales.tmp_*", "!sales.scratch"]
targets:
  hub: {{type: postgres, url: {target}}}
pipelines:
  line:
    source: erp
    target: hub
    replicate:
      - {{tables: [sales.*], into: "copy.{{table}}"}}
      - {{tables: ['"odd.Schema"."It''s"'], into: odd}}
    mappings: [customers]
"""
ENTITY = """\
entity: customer
key: [customer_no]
fields:
  customer_no: {type: text, required: true}
  name: {type: text}
"""
MAPPING = """\
mapping: customers
entity: customer
table: sales.customer
key: {customer_no: "'E-' || id"}
fields: {name: name}
"""


@dataclass(frozen=True)
class Place:
    """A project between two databases, for roles that do not exist yet."""

    directory: Path
    source: Database
    target: Database

    @property
    def roles(self) -> tuple[str, str]:
        return f"reader_{self.source.name}", f"writer_{self.target.name}"

    def write(self, text: str = PROJECT) -> None:
        reader, writer = self.roles
        text = text.format(
            source=self.source.server.url(self.source.name, reader),
            target=self.target.server.url(self.target.name, writer),
        )
        self.directory.mkdir(exist_ok=True)
        (self.directory / "tailrace.yml").write_text(text)
        for folder, content in (("entities", ENTITY), ("mappings", MAPPING)):
            (self.directory / folder).mkdir(exist_ok=True)
            (self.directory / folder / "customer.yml").write_text(content)

    def tailrace(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "tailrace.service",
                "--project",
                str(self.directory),
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            input=stdin,
        )

    def script(self) -> str:
        done = self.tailrace("check", "--sql")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def psql(self, script: str) -> str:
        """As the administrator of another database, who has never heard of these."""
        server = self.source.server
        done = subprocess.run(
            [
                *(str(server.bindir / "psql"), "-X", "-h", "127.0.0.1", "-p", str(server.port)),
                *("-U", "postgres", "-d", "template1", "-f", "-"),
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            input=script,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(params=["18 to 15", "15 to 18"])
def place(
    request: pytest.FixtureRequest, pg18: LocalPostgres, pg15: LocalPostgres, tmp_path: Path
) -> Iterator[Place]:
    servers = (pg18, pg15) if request.param == "18 to 15" else (pg15, pg18)
    databases = [_fresh(server) for server in servers]
    source, target = (next(database) for database in databases)
    source.execute(SOURCE)
    found = Place(tmp_path / "project", source, target)
    found.write()
    try:
        yield found
    finally:
        for database, role in zip((source, target), found.roles, strict=True):
            if database.execute(f"select 1 from pg_roles where rolname = '{role}'"):
                database.execute(f"drop owned by {role} cascade; drop role {role}")
        for database in databases:
            next(database, None)


of_one_pair = pytest.mark.parametrize("place", ["18 to 15", long("15 to 18")], indirect=True)
"""For what does not depend on which version is which."""


def undo(script: str) -> str:
    """The commented way back, as a DBA would run it, in the databases of its parts."""
    lines, back = [], False
    for line in script.splitlines():
        if line.startswith(("\\connect", "\\set")):
            lines.append(line)
        back = line.startswith("-- To take it all back") or (back and line.startswith("--   "))
        if back and line.startswith("--   "):
            lines.append(line.removeprefix("--   "))
    return "\n".join(lines) + "\n"


def test_the_script_is_enough_can_run_again_and_can_be_taken_back(place: Place) -> None:
    script = place.script()
    assert place.tailrace("check").returncode == 1  # the roles are not there
    place.psql(script)
    place.psql(script)
    checked = place.tailrace("check", "-o", "json")
    assert checked.returncode == 0, checked.stdout
    found = json.loads(checked.stdout)
    assert [one["where"] for one in found["findings"]["source erp"]] == [
        "sales.parent",
        "setting max_slot_wal_keep_size",
    ]
    assert found["findings"]["target hub"] == []
    run_until_there(place)
    removed = place.tailrace("remove", "erp", "--yes", "--journal")
    assert removed.returncode == 0, removed.stderr
    assert "kept publication tailrace_acme_erp" in removed.stdout
    place.psql(undo(script))
    for database, role in zip((place.source, place.target), place.roles, strict=True):
        assert database.execute(f"select 1 from pg_roles where rolname = '{role}'") == []
    assert place.source.execute("select 1 from pg_publication") == []


def run_until_there(place: Place) -> None:
    """Snapshot and stream as these roles: nothing more was needed than the script gives."""
    command = [sys.executable, "-m", "tailrace.service", "--project", str(place.directory)]
    log = place.directory / "log"
    with (
        log.open("w") as into,
        subprocess.Popen([*command, "run", "--listen", "127.0.0.1:0"], stderr=into) as process,
    ):
        try:
            customers = "select id, name from copy.customer order by id"
            arrives(place, customers, [(1, "one"), (2, "two")])
            place.source.execute(
                "update sales.customer set name = 'uno' where id = 1;"
                "delete from sales.customer where id = 2;"
                "truncate sales.hidden; update sales.child set id = 8;"
                "update sales.parted set id = 3;"
                'update "odd.Schema"."It\'s" set id = 6'
            )
            arrives(place, "select customer_no, name from customer", [("E-1", "uno")])
            arrives(place, "select id from odd", [(6,)])
            arrives(place, "select id from copy.parted", [(3,)])
            arrives(place, "select id from copy.child", [(8,)])
            arrives(place, "select id from copy.hidden", [])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
    assert process.returncode == 0, log.read_text()


def arrives(place: Place, query: str, wanted: list[tuple[object, ...]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    rows: object = None
    while rows != wanted:
        log = (place.directory / "log").read_text()
        assert time.monotonic() < deadline, f"{query}: {rows}; {log[-3000:]}"
        time.sleep(0.1)
        try:
            rows = place.target.execute(query)
        except psycopg.errors.UndefinedTable:
            rows = None


def test_the_script_leaves_out_what_publishing_would_break(place: Place) -> None:
    place.write(PROJECT.replace(', "!sales.scratch"', ""))
    said = place.psql(place.script())
    assert re.search(r"left out\W+sales\.scratch\W+\(1 row\)", said)
    published = place.source.execute(
        "select schemaname || '.' || tablename from pg_publication_tables order by 1"
    )
    assert [name for (name,) in published] == [
        "odd.Schema.It's", "sales.child", "sales.customer", "sales.hidden", "sales.parent",
        "sales.parted",
    ]  # fmt: skip
    place.source.execute("insert into sales.scratch values (1); delete from sales.scratch")
    checked = place.tailrace("check")
    assert checked.returncode == 1
    assert "error: sales.scratch: has no primary key" in checked.stdout


def test_the_scripts_rights_are_no_more_than_needed(place: Place) -> None:
    place.target.execute(
        "create schema copy; create table copy.customer (id int primary key,"
        " name text, country char(2)); create table copy.payroll_of_hr (id int);"
        "create schema hr; create table hr.payroll (id int)"
    )
    place.psql(place.script())
    reader, writer = place.roles
    may = "select has_table_privilege('{}', '{}', '{}')"
    assert place.source.execute(may.format(reader, "sales.customer", "select")) == [(True,)]
    assert place.source.execute(may.format(reader, "sales.customer", "update")) == [(False,)]
    assert place.source.execute(may.format(reader, "public.other", "select")) == [(False,)]
    assert place.source.execute(may.format(reader, "sales.tmp_1", "select")) == [(False,)]
    assert place.target.execute(may.format(writer, "copy.customer", "delete")) == [(True,)]
    assert place.target.execute(may.format(writer, "hr.payroll", "select")) == [(False,)]
    rights = place.target.execute(
        f"select rolsuper, rolcreatedb, rolcreaterole, rolreplication,"
        f" has_database_privilege(rolname, current_database(), 'create')"
        f" from pg_roles where rolname = '{writer}'"
    )
    assert rights == [(False, False, False, False, False)]


@of_one_pair
def test_a_database_that_does_not_answer_is_an_error_beside_the_others(place: Place) -> None:
    place.psql(place.script())
    place.write(PROJECT.replace("{target}", "postgresql://u:geheim@127.0.0.1:1/x"))
    done = place.tailrace("check")
    assert done.returncode == 1
    assert "cannot connect to the target" in done.stdout
    assert "source erp" in done.stdout
    assert "geheim" not in done.stdout + done.stderr


@of_one_pair
def test_a_mapping_that_does_not_fit_the_real_tables_is_told_with_file_and_line(
    place: Place,
) -> None:
    place.psql(place.script())
    (place.directory / "mappings" / "customer.yml").write_text(
        MAPPING.replace("name: name", "name: nmae")
    )
    done = place.tailrace("check")
    assert done.returncode == 2
    assert "mappings/customer.yml:5" in done.stdout
    offline = place.tailrace("check", "--offline")
    assert (offline.returncode, offline.stdout) == (0, "ready\n")


@of_one_pair
def test_a_wrong_file_is_told_as_json_too(place: Place) -> None:
    place.write(PROJECT.replace("version: 1", "version: 1\nsurplus: 2"))
    done = place.tailrace("check", "-o", "json")
    assert done.returncode == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert error["where"]["line"] == 2
