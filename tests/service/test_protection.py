"""Protected fields on their way from a PostgreSQL to a PostgreSQL and a MariaDB.

What the target holds is compared with what plain SQL over the source makes of it. Nothing that the
project's directory keeps may hold a key, nor, but for the journal and what waits at the exceptions
desk, a clear value.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from cdc.mysql.settings import arguments
from tests.line import Line, wait_until
from tests.maria import Maria
from tests.service.test_two_sources import TwoSources
from transforms.protect.tokens import Tokeniser

TABLES = """
create table public.kunden (
    id int primary key, name text, steuer text, mail text, notiz text, geboren date,
    umsatz numeric);
alter table public.kunden replica identity full;
create table public.mark (mark text primary key);
insert into public.kunden
select n, 'Person-' || n || '-Ärger', 'DE' || (n * 7919 % 100000),
       'mail' || n % 50 || '@example.org',
       'geheim ' || n, '1950-03-07'::date + n, n / 3.0
from generate_series(1, 1500) n;
insert into public.kunden (id) values (-1);
"""
ENTITY = """\
entity: kunde
key: [nr]
fields:
  nr: {type: text, required: true, class: personal}
  name: {type: text, class: internal}
  steuer: {type: text, class: personal}
  mail: {type: text, class: public}
  notiz: {type: text, class: secret}
  geboren: {type: date, class: internal}
  umsatz: {type: "decimal(12,2)"}
"""
MAPPING = """\
mapping: kunde
entity: kunde
table: public.kunden
key: {nr: "'K-' || id"}
fields:
  name: name
  steuer: steuer
  mail: mail
  notiz: notiz
  geboren: geboren
  umsatz: "umsatz::numeric(12,2)"
"""


@dataclass
class Protected(Line):
    """A line whose target tokenises, hashes, masks and drops. `keys` are in files."""

    token_key: bytes
    hash_key: bytes

    def __init__(self, directory: Path, source: str, target: str, into: str) -> None:
        super().__init__(
            directory,
            source,
            target,
            tables="public.*",
            rules=f"""- {{tables: [public.mark], into: {into}.mark}}
    mappings: [kunde]""",
        )
        self.into = into
        self.token_key, self.hash_key = secrets.token_bytes(64), secrets.token_bytes(32)
        for name, key in (("token", self.token_key), ("hash", self.hash_key)):
            (directory.parent / name).write_text(key.hex() + "\n")
        path = directory / "tailrace.yml"
        text = path.read_text().replace(
            f'url: "{target}"}}',
            f'url: "{target}", protect: {{public: {{hash: h}}, internal: mask,'
            " personal: {tokenise: t}, secret: drop}}",
        )
        folder = directory.parent
        path.write_text(
            f'{text}keys:\n  t: {{current: "${{file:{folder}/token}}"}}\n'
            f'  h: {{current: "${{file:{folder}/hash}}"}}\n'
        )
        for folder_name, document in (("entities", ENTITY), ("mappings", MAPPING)):
            (directory / folder_name).mkdir()
            if into != "public" and folder_name == "mappings":
                document += f"into: {into}.kunde\n"
            (directory / folder_name / "kunde.yml").write_text(document)

    def write_mark(self, table: str, mark: str) -> None:
        super().write_mark("public.mark", mark)

    def drained(self) -> None:
        self.streams()
        self.arrives(f"{self.into}.mark")

    def expected(self) -> list[tuple[Any, ...]]:
        """What SQL makes of the source, and our tokens."""
        tokeniser = Tokeniser(self.token_key)
        with psycopg.connect(self.source) as connection:
            rows = connection.execute(
                "select 'K-' || id, left(name, 1) || '***', steuer,"
                " encode(sha256(%s || sha256(%s || convert_to(mail, 'UTF8'))), 'hex'),"
                " date_trunc('year', geboren)::date, umsatz * 0 from public.kunden",
                [
                    bytes(byte ^ pad for byte in self.hash_key.ljust(64, b"\0"))
                    for pad in (0x5C, 0x36)
                ],
            ).fetchall()
        made = [
            (_token(tokeniser, nr), name, _token(tokeniser, steuer), *rest)
            for nr, name, steuer, *rest in rows
        ]
        return sorted(made)

    def found(self) -> list[tuple[Any, ...]]:
        query = f"select nr, name, steuer, mail, geboren, umsatz from {self.into}.kunde"
        if self.target.startswith("postgres"):
            with psycopg.connect(self.target) as connection:
                return sorted(connection.execute(query.encode()).fetchall())
        with closing(pymysql.connect(**arguments(self.target))) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return sorted(cursor.fetchall())


def _token(tokeniser: Tokeniser, text: str | None) -> str | None:
    import pyarrow as pa

    found: str | None = tokeniser.tokens(pa.array([text], pa.string()))[0].as_py()
    return found


def change(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "update public.kunden set name = 'Umgezogen', steuer = null where id <= 100",
            "update public.kunden set steuer = 'DE1', mail = 'mail1@example.org' where id = 500",
            "update public.kunden set id = id + 10000 where id between 20 and 30",
            "delete from public.kunden where id between 600 and 900",
            "insert into public.kunden values (9000, 'Neu-hier', 'DE2', 'x', 'y', '2001-02-03', 7)",
        ):
            connection.execute(statement.encode())


def check_nothing_leaks(line: Protected) -> None:
    """Neither a key anywhere, nor a clear value outside of the journal and the exceptions."""
    clear = (b"Person-", "Ärger".encode(), b"geheim", b"@example", b"Umgezogen", b"Neu-hier")
    keys = [line.token_key, line.hash_key]
    keys += [key.hex().encode() for key in keys]
    files = [path for path in line.directory.rglob("*") if path.is_file()]
    assert any("log" in path.name for path in files)
    for path in files:
        data = path.read_bytes()
        assert not any(key in data for key in keys), path
        if not {"journal", "exceptions"} & set(path.parts):
            assert not any(text in data for text in clear), path


def check_a_parked_row(line: Protected) -> None:
    """What waits at the exceptions desk is masked, source columns by what they feed."""
    with psycopg.connect(line.source, autocommit=True) as connection:
        connection.execute(
            "insert into public.kunden (id, name, steuer, notiz, umsatz)"
            " values (9001, 'Person-X', 'DE-geheim-9', 'geheim X', 1e12)"
        )
    line.drained()
    listed = line.command("exceptions", "list", "-o", "json").stdout
    (entry,) = json.loads(listed)["exceptions"]
    masked = line.command("exceptions", "show", entry["id"], "-o", "json").stdout
    after = json.loads(masked)["after"]
    assert [after[name] for name in ("id", "steuer", "notiz")] == ["9***", "D***", "***"]
    assert "geheim" not in listed + masked
    revealed = line.command("exceptions", "show", entry["id"], "--reveal", "-o", "json").stdout
    assert json.loads(revealed)["after"]["notiz"] == "geheim X"
    assert line.command("exceptions", "discard", entry["id"], "--reason", "a test").returncode == 0


def run(line: Protected) -> None:
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with line:
        line.drained()
        first = line.found()
        assert len(first) == 1501
        assert first == line.expected()
        change(line.source)
        line.drained()
        assert line.found() == line.expected()
        assert len(line.found()) == 1501 - 301 + 1
        check_a_parked_row(line)
    check_nothing_leaks(line)


def test_postgres_to_postgres(tmp_path: Path, database18, second_database18) -> None:
    database18.execute(TABLES)
    line = Protected(tmp_path / "project", database18.url, second_database18.url, "public")
    run(line)
    types = second_database18.execute(
        "select column_name, data_type from information_schema.columns where table_name = 'kunde'"
    )
    assert dict(types) == {
        "nr": "text", "name": "text", "steuer": "text", "mail": "text", "geboren": "date",
        "umsatz": "numeric",
    }  # fmt: skip
    revealed = line.command("reveal", *(row[0] for row in line.found()[:3]))
    numbers = {f"K-{id_}" for (id_,) in database18.execute("select id from public.kunden")}
    assert len(revealed.stdout.splitlines()) == 3
    assert set(revealed.stdout.splitlines()) <= numbers
    refused = line.command("reveal", "tr1.00000000.abcd")
    assert refused.returncode == 2
    assert "made with another key" in refused.stderr
    masked = line.command("preview", "kunde").stdout
    assert "→ nr=" in masked
    assert "K-" not in masked
    assert "geheim" not in masked
    assert "geheim " in line.command("preview", "kunde", "--reveal").stdout


@pytest.fixture
def into_maria(maria: Maria) -> Iterator[str]:
    """A database to write, with room for our own beside it."""
    yield maria.name
    maria.server.execute("drop database if exists tailrace")


def test_postgres_to_mariadb(tmp_path: Path, maria: Maria, into_maria: str, database18) -> None:
    database18.execute(TABLES)
    run(Protected(tmp_path / "project", database18.url, maria.server.url("root"), into_maria))


def test_another_key_of_a_key_field_is_refused_and_one_of_other_fields_told(
    tmp_path: Path, database18, second_database18
) -> None:
    database18.execute(TABLES)
    line = Protected(tmp_path / "project", database18.url, second_database18.url, "public")
    with line:
        line.drained()
    written = line.found()
    (tmp_path / "hash").write_text(secrets.token_hex(32))
    checked = line.command("check")
    assert checked.returncode == 0
    assert "warning: public.kunde.mail: rows that are there keep hash" in checked.stdout
    (tmp_path / "token").write_text(secrets.token_hex(64))
    checked = line.command("check")
    assert checked.returncode == 1
    assert "public.kunde would get its rows a second time" in checked.stdout
    assert "has changed: tokenise" in checked.stdout
    change(line.source)
    with line:
        wait_until(lambda: "second time" in str(line.report("deliver")["error"]), "the refusal")
        assert line.report("deliver")["error"]["code"] == "TR-502"
    assert line.found() == written
    (tmp_path / "token").write_text(line.token_key.hex())
    (tmp_path / "hash").write_text(line.hash_key.hex())
    with line:
        line.drained()
        assert line.found() == line.expected()


def test_the_key_of_a_field_outside_of_the_key_is_rotated(
    tmp_path: Path, database18, second_database18
) -> None:
    database18.execute(TABLES)
    line = Protected(tmp_path / "project", database18.url, second_database18.url, "public")
    entity = line.directory / "entities" / "kunde.yml"
    entity.write_text(ENTITY.replace("required: true, class: personal", "required: true"))
    path = line.directory / "tailrace.yml"
    path.write_text(path.read_text().replace("internal: mask", "internal: pass"))
    with line:
        line.drained()
    old, new = line.token_key, secrets.token_bytes(64)
    (tmp_path / "old").write_text(old.hex())
    (tmp_path / "token").write_text(new.hex())
    text = path.read_text()
    path.write_text(
        text.replace('/token}"}', f'/token}}", previous: ["${{file:{tmp_path}/old}}"]}}')
    )
    with line:
        database18.execute("update public.kunden set steuer = 'DE-neu' where id = 7")
        line.drained()
    tokens = dict(second_database18.execute("select nr, steuer from public.kunde"))
    tokeniser = Tokeniser(new, [old])
    clear = dict(database18.execute("select 'K-' || id, steuer from public.kunden"))
    assert {nr: token and tokeniser.reveal(token) for nr, token in tokens.items()} == clear
    made_by = {nr: token.split(".")[1] for nr, token in tokens.items() if token}
    assert made_by.pop("K-7") == tokeniser.key_id
    assert set(made_by.values()) == {Tokeniser(old).key_id}


def test_what_two_sources_say_of_one_entity_is_protected_alike(
    tmp_path: Path, database18, second_database18, third_database18
) -> None:
    database18.execute("create schema sales")
    second_database18.execute("create schema crm")
    hub = third_database18
    line = TwoSources(
        tmp_path / "project", database18.url, second_database18.url, hub.url, schema="crm"
    )
    key = secrets.token_bytes(64)
    (tmp_path / "key").write_text(key.hex())
    path = line.directory / "tailrace.yml"
    protect = "protect: {personal: {tokenise: t}, secret: drop}"
    path.write_text(
        path.read_text().replace(f'url: "{hub.url}"}}', f'url: "{hub.url}", {protect}}}')
        + f'keys:\n  t: {{current: "${{file:{tmp_path}/key}}"}}\n'
    )
    entity = line.directory / "entities" / "customer.yml"
    text = entity.read_text().replace("required: true}", "required: true, class: personal}")
    text = text.replace('"decimal(12,2)"}', '"decimal(12,2)", class: secret}')
    entity.write_text(text.replace("phone: {type: text}", "phone: {type: text, class: personal}"))

    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    tokens = Tokeniser(key)

    def rows() -> list[tuple[Any, ...]]:
        try:
            found = hub.execute("select * from public.customer")
        except psycopg.Error:  # it is not there yet
            return []
        return sorted(tuple(text and tokens.reveal(text) for text in row) for row in found)

    with line:
        wait_until(
            lambda: rows() == [("C-1", "Anna", "11"), ("C-2", "Bert", None)], "the first rows"
        )
        wait_until(line.discrepancies, "a discrepancy")
        assert hub.execute("select field, owner_value, value from tailrace.discrepancy") == [
            ("name", _token(tokens, "Anna"), _token(tokens, "ANNA"))
        ]
    with line:  # each pipeline finds rows of the other
        second_database18.execute("insert into crm.contact values (2, 'Bert', '22')")
        database18.execute("delete from sales.kunden where id = 1")
        wait_until(lambda: rows() == [("C-2", "Bert", "22")], "the changed rows")
    held = hub.execute(
        "select table_schema, table_name, column_name from information_schema.columns"
        " where table_schema in ('public', 'tailrace')"
    )
    assert not [place for place in held if "credit" in place]
    for schema, table in {(schema, table) for schema, table, _ in held}:
        (stored,) = hub.execute(f"select string_agg(t::text, ' ') from {schema}.{table} t")
        assert not any(clear in (stored[0] or "") for clear in ("Anna", "ANNA", "Bert", "C-1"))
