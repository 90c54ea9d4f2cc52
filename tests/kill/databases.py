"""The two ends of a line under kills, on either database: what each is asked, in its own SQL."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
import pymysql

from tailrace.service.localmaria import LocalMariadb
from tailrace.service.localpg import LocalPostgres
from tests.kill.topics import Kafka
from tests.localmysql import LocalMysql

ABSENT = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    pymysql.err.ProgrammingError,
    pymysql.err.OperationalError,
    sqlite3.OperationalError,
    duckdb.CatalogException,
    duckdb.IOException,
)
"""What a database says of a table that is not there yet."""


class Database(Protocol):
    """A server. `upsert`: the words after INSERT … VALUES that update the balance instead."""

    upsert: str
    create_source: str
    create_target: str

    def execute(self, sql: str) -> list[tuple[Any, ...]]: ...

    def connect(self) -> Any:
        """A DB-API connection that commits each statement until told ``begin``."""

    @property
    def source(self) -> str:
        """Settings of a source, as YAML."""

    @property
    def target(self) -> str:
        """Settings of a target, as YAML."""

    def stop(self) -> None: ...


class Postgres:
    upsert = "on conflict (id) do update set balance = excluded.balance"
    create_source = """
create schema shop;
create table shop.ledger (id bigint primary key, lane int not null, note text not null);
create table shop.account (id text primary key, balance int not null, memo text);
alter table shop.account alter memo set storage external;
create publication shop for table shop.ledger, shop.account;
"""
    create_target = """
create schema shop;
create table shop.ledger (id bigint primary key, lane int not null, note text not null);
create schema counted;
create table counted.applied (id bigint not null);
create function counted.log() returns trigger language plpgsql as
    $$ begin insert into counted.applied values (new.id); return null; end $$;
create trigger applied after insert or update on shop.ledger
    for each row execute function counted.log();
"""

    def __init__(self, directory: Path, version: str) -> None:
        self._server = LocalPostgres.start(directory, version=version)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._server.execute(sql)

    def connect(self) -> Any:
        return psycopg.connect(self._server.url(), autocommit=True)

    @property
    def source(self) -> str:
        return (
            f'{{type: postgres, url: "{self._server.url()}", tables: [shop.*], publication: shop}}'
        )

    @property
    def target(self) -> str:
        return f'{{type: postgres, url: "{self._server.url()}"}}'

    def stop(self) -> None:
        self._server.stop()


class Mariadb:
    kind = "mariadb"
    upsert = "on duplicate key update balance = values(balance)"
    create_source = """
create database shop;
create table shop.ledger (id bigint primary key, lane int not null, note text not null);
create table shop.account (id varchar(40) primary key, balance int not null, memo text);
"""
    create_target = """
create database shop;
create table shop.ledger (id bigint primary key, lane int not null, note text not null);
create database counted;
create table counted.applied (id bigint not null) engine = InnoDB;
create trigger shop.inserted after insert on shop.ledger
    for each row insert into counted.applied values (new.id);
create trigger shop.updated after update on shop.ledger
    for each row insert into counted.applied values (new.id);
"""

    def __init__(self, directory: Path) -> None:
        self._server = self._start(directory)
        self._url = self._server.url()

    def _start(self, directory: Path) -> LocalMariadb:
        return LocalMariadb.start(directory)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._server.execute(*filter(str.strip, sql.split(";\n")))

    def connect(self) -> Any:
        return self._server.connect()

    @property
    def source(self) -> str:
        return f'{{type: {self.kind}, url: "{self._url}", tables: [shop.*]}}'

    @property
    def target(self) -> str:
        return f'{{type: {self.kind}, url: "{self._url}"}}'

    def stop(self) -> None:
        self._server.stop()


class Mysql(Mariadb):
    kind = "mysql"

    def _start(self, directory: Path) -> LocalMariadb:
        return LocalMysql.start(directory)


class Sqlite:
    """A file, only ever a target. A name with a dot is one name there."""

    upsert = create_source = source = ""  # never one
    create_target = """
create table shop.ledger (id bigint not null primary key, lane int not null, note text not null);
create table counted.applied (id bigint not null);
create trigger inserted after insert on shop.ledger
    begin insert into counted.applied values (new.id); end;
create trigger updated after update on shop.ledger
    begin insert into counted.applied values (new.id); end;
"""

    def __init__(self, directory: Path, version: str) -> None:
        self._path = directory.with_suffix(".db")

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection:
            found: list[tuple[Any, ...]] = []
            for statement in filter(str.strip, sql.split(";\n")):
                try:
                    found = connection.execute(statement).fetchall()
                except sqlite3.OperationalError as error:
                    if "no such table" not in str(error):
                        raise
            return found

    def connect(self) -> Any:
        return sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, factory=_Named
        )

    @property
    def target(self) -> str:
        return f'{{type: sqlite, path: "{self._path}"}}'

    def stop(self) -> None:
        """Nothing runs."""


class _Named(sqlite3.Connection):
    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return super().execute(_NAMES.sub(r'"\g<0>"', sql), *values)

    def cursor(self) -> Any:  # type: ignore[override]
        return super().cursor(_Cursor)


class _Cursor(sqlite3.Cursor):
    """One that a `with` closes, as those of other databases."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return super().execute(_NAMES.sub(r'"\g<0>"', sql), *values)

    def __enter__(self) -> sqlite3.Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_NAMES = re.compile(r"\b(?:shop|counted|tailrace)\.\w+")


class Duckdb:
    """A file that one process at a time has open, only ever a target.

    A transaction costs some ten milliseconds at least, and those who look at it keep it away:
    a load without longer pauses outpaces it.
    """

    pause_s = 0.1
    upsert = create_source = source = ""  # never one
    create_target = """
create schema shop;
create table shop.ledger (id bigint primary key, lane int not null, note text not null);
create schema counted;
create table counted.applied (id bigint not null);
create trigger inserted after insert on shop.ledger referencing new table as rows
    for each statement insert into counted.applied select id from rows;
create trigger updated after update on shop.ledger referencing new table as rows
    for each statement insert into counted.applied select id from rows;
"""

    def __init__(self, directory: Path, version: str) -> None:
        self._path = directory.with_suffix(".duckdb")

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        reads = sql.lstrip().startswith("select")  # as `connect`: a process opens it in one way
        while True:
            try:
                with duckdb.connect(str(self._path), read_only=reads) as connection:
                    return connection.execute(sql).fetchall()
            except duckdb.IOException as error:
                if "lock on file" not in str(error):
                    raise
            except duckdb.CatalogException:
                return []
            time.sleep(0.02)

    def connect(self) -> Any:
        return _Between(self._path)

    @property
    def target(self) -> str:
        return f'{{type: duckdb, path: "{self._path}"}}'

    def stop(self) -> None:
        """Nothing runs."""


class _Between:
    """A connection and its cursor that have the file open no longer than a statement takes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[Any, ...]] = []

    def cursor(self) -> _Between:
        return self

    def __enter__(self) -> _Between:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""

    def execute(self, sql: str) -> None:
        with duckdb.connect(str(self._path), read_only=True) as connection:
            self._found = connection.execute(sql).fetchall()

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._found[0] if self._found else None


KINDS: dict[str, Callable[[Path, str], Database]] = {
    "postgres": Postgres,
    "mariadb": lambda directory, _: Mariadb(directory),
    "mysql": lambda directory, _: Mysql(directory),
    "kafka": lambda directory, _: Kafka(directory),
    "sqlite": Sqlite,
    "duckdb": Duckdb,
}
