"""The two ends of a line under kills, on either database: what each is asked, in its own SQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

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


KINDS: dict[str, Callable[[Path, str], Database]] = {
    "postgres": Postgres,
    "mariadb": lambda directory, _: Mariadb(directory),
    "mysql": lambda directory, _: Mysql(directory),
    "kafka": lambda directory, _: Kafka(directory),
}
