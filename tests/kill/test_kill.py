"""Kills in one run: nothing lost, nothing doubled, the checkpoint never goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.service.localmaria import binary
from tests.kill.harness import NAMES, torture
from tests.localmysql import BINARY
from tests.long import long

with_mysql = pytest.mark.skipif(not BINARY.exists(), reason="no MySQL server was unpacked")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [24, long(50)])
def test_kills_lose_and_double_nothing(kills: int, server_path: Path) -> None:
    outcome = torture(kills, server_path)
    print(outcome.line(), outcome.kills)
    assert sum(outcome.kills.values()) >= kills
    assert set(outcome.kills) >= set(NAMES), "every failpoint must have been reached"
    assert outcome.operations > 20 * kills
    assert outcome.clean, outcome


@pytest.mark.skipif(binary() is None, reason="MariaDB is not installed")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [14, long(25)])
@pytest.mark.parametrize(
    "ends",
    [
        long(("mariadb", "postgres")),
        long(("postgres", "mariadb")),
        ("mariadb", "mariadb"),
        pytest.param(("postgres", "mysql"), marks=with_mysql),
    ],
    ids=":".join,
)
def test_kills_with_mariadb(ends: tuple[str, str], kills: int, server_path: Path) -> None:
    outcome = torture(kills, server_path, ends=ends)
    print(outcome.line(), outcome.kills)
    assert sum(outcome.kills.values()) >= kills
    assert len(outcome.kills) > len(NAMES) // 2
    assert outcome.operations > 20 * kills
    assert outcome.clean, outcome


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [8, long(25)])
def test_kills_before_topics(server_path: Path, kills: int) -> None:
    """A reader of committed messages counts them."""
    outcome = torture(kills, server_path, ends=("postgres", "kafka"))
    print(outcome.line(), outcome.kills)
    assert sum(outcome.kills.values()) >= kills
    assert outcome.operations > 100
    assert outcome.clean, outcome


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", [long("sqlite"), long("duckdb")])
def test_kills_before_files(server_path: Path, kind: str) -> None:
    outcome = torture(16, server_path, ends=("postgres", kind))
    print(outcome.line(), outcome.kills)
    assert sum(outcome.kills.values()) >= 16
    assert outcome.operations > 20 * 16
    assert outcome.clean, outcome
