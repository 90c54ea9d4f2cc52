"""Real servers for the tests: PostgreSQL 18 (wheel) and the system's, and others, one each for
the session."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tailrace.service.localpg import LocalPostgres
from tests.localkafka import kafka
from tests.localmysql import mysql
from tests.maria import (
    _shared_servers_are_emptied,
    maria,
    maria_server,
    mark,
    second_maria,
)

__all__ = [
    "_shared_servers_are_emptied",
    "kafka",
    "maria",
    "maria_server",
    "mysql",
    "second_maria",
]

_numbers = itertools.count(1)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile all modules anew

HASTY = {"fsync": "off", "full_page_writes": "off"}
"""For servers that no test takes the power from: to kill their processes loses nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark(item)


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


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that servers may live in: as root they run as somebody else, whom pytest's own
    directories keep out."""
    directory = Path(tempfile.mkdtemp(prefix="tailrace-test-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def server_path() -> Iterator[Path]:
    """Where a test may start servers of its own."""
    with open_directory() as directory:
        yield directory


def _server(version: Any) -> Iterator[LocalPostgres]:
    with (
        open_directory() as directory,
        LocalPostgres.start(directory / "server", version=version, settings=HASTY) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def pg18() -> Iterator[LocalPostgres]:
    yield from _server("18")


@pytest.fixture(scope="session")
def pg15() -> Iterator[LocalPostgres]:
    yield from _server("15")


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


@pytest.fixture
def third_database18(pg18: LocalPostgres) -> Iterator[Database]:
    yield from _fresh(pg18)
