"""Real servers for the tests: PostgreSQL 18 (wheel) and the system's, one each for the session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tailrace.service.localpg import LocalPostgres

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A fresh database of a running server."""

    server: LocalPostgres
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.execute(sql, self.name)


def _server(tmp_path_factory: pytest.TempPathFactory, version: Any) -> Iterator[LocalPostgres]:
    directory: Path = tmp_path_factory.mktemp(f"pg{version}")
    for parent in (directory, *directory.parents):
        if parent.owner() == Path.home().owner() and parent.stat().st_mode & 0o077 == 0:
            parent.chmod(0o711)
    with LocalPostgres.start(directory / "server", version=version) as server:
        yield server


@pytest.fixture(scope="session")
def pg18(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    yield from _server(tmp_path_factory, "18")


@pytest.fixture(scope="session")
def pg15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    yield from _server(tmp_path_factory, "15")


@pytest.fixture(params=["18", "15"], ids=["pg18", "pg15"])
def server(request: pytest.FixtureRequest) -> LocalPostgres:
    found: LocalPostgres = request.getfixturevalue(f"pg{request.param}")
    return found


def _fresh(server: LocalPostgres) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    server.execute(f"create database {name}")
    yield Database(server, name)
    server.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
        f" where database = '{name}' and not active"
    )
    server.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(server: LocalPostgres) -> Iterator[Database]:
    yield from _fresh(server)


@pytest.fixture
def database18(pg18: LocalPostgres) -> Iterator[Database]:
    yield from _fresh(pg18)


@pytest.fixture
def second_database18(pg18: LocalPostgres) -> Iterator[Database]:
    yield from _fresh(pg18)
