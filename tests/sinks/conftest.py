"""Targets of the sink tests. A database is made once a server, and emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sinks.mysql.products import MYSQL
from tailrace.service.localpg import LocalPostgres
from tests.sinks.harness import PostgresHarness
from tests.sinks.maria_harness import MariadbHarness


@pytest.fixture(scope="session")
def made_for_sinks() -> set[int]:
    """Ports of the servers that have the database."""
    return set()


def _harness(server: LocalPostgres, made: set[int]) -> Iterator[PostgresHarness]:
    if server.port not in made:
        server.execute("create database sinks")
        made.add(server.port)
    harness = PostgresHarness(server.url("sinks"))
    yield harness
    harness.close()


@pytest.fixture
def harness(server: LocalPostgres, made_for_sinks: set[int]) -> Iterator[PostgresHarness]:
    yield from _harness(server, made_for_sinks)


@pytest.fixture
def harness18(pg18: LocalPostgres, made_for_sinks: set[int]) -> Iterator[PostgresHarness]:
    yield from _harness(pg18, made_for_sinks)


@pytest.fixture
def harness15(pg15: LocalPostgres, made_for_sinks: set[int]) -> Iterator[PostgresHarness]:
    yield from _harness(pg15, made_for_sinks)


@pytest.fixture(params=["mariadb", "mysql"])
def maria_harness(request: pytest.FixtureRequest) -> Iterator[MariadbHarness]:
    """Each test on both servers, unless it says `only_mariadb`."""
    if request.param == "mysql":
        harness = MariadbHarness(request.getfixturevalue("mysql"), MYSQL)
    else:
        harness = MariadbHarness(request.getfixturevalue("maria_server"))
    yield harness
    harness.close()
