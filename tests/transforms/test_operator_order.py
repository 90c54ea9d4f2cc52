"""Operators without brackets: what is accepted is read in the database's own order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tailrace.service.localmaria import LocalMariadb
from tailrace.service.localpg import LocalPostgres
from tests.transforms import mysqloracle, oracle
from tests.transforms.oracle import FAILED
from transforms.errors import ExpressionError
from transforms.expressions.typed import Refusal

TRIES = 500
ACCEPTED_MIN = 25

POSTGRES = (
    "i j h k n m 2 -3 1.5 -i -n s t 'a' '12' c b s::int i::text -i::bigint d true null ts f -f v",
    "+ - * / % || = < > <> >= and or ~|'a'|or like|'a%'|or in|(1,2)|or is|distinct|from is|null|and"
    " is|not|true|or between|0|and not|between|-1|and ::text||| ::numeric(20,4)|* ::bigint|%",
)
MARIADB = (
    "i j k u 2 -3 -i -k s binary|s 'a' 12 d not|i true null char_length(s) ts f -f date(ts)",
    "+ - * / % div mod = < > != >= <=> and or && is|null|and is|not|null|or is|true|and"
    " regexp|'1'|or in|(1,2)|or between|0|and not|between|-1|and --",
)


def chain(dice: random.Random, operands: str, operators: str) -> str:
    written = dice.choice(operands.split())
    for _ in range(dice.randint(1, 4)):
        written += f" {dice.choice(operators.split())} {dice.choice(operands.split())}"
    return written.replace("|", " ").replace("   ", "||").replace("-- ", "--")


Compared = Callable[[Any, str], list[tuple[str | None, str | None, int]]]


def check(both: Any, compared: Compared, words: tuple[str, str]) -> None:
    dice, accepted = random.Random(1974), 0
    for _ in range(TRIES):
        expression = chain(dice, *words)
        try:
            differing = compared(both, expression)
        except (ExpressionError, Refusal):
            continue
        accepted += 1
        wrong = [found for found in differing if FAILED not in found[:2]]
        assert not wrong, (expression, wrong[:3])
    assert accepted >= ACCEPTED_MIN


@pytest.fixture(scope="module")
def postgres(pg18: LocalPostgres) -> Iterator[oracle.Both]:
    yield from oracle.both(pg18.url())


@pytest.fixture(scope="module")
def mariadb(maria_server: LocalMariadb) -> Iterator[mysqloracle.Both]:
    yield from mysqloracle.both(maria_server)


def test_postgres(postgres: oracle.Both) -> None:
    check(postgres, oracle.compared, POSTGRES)


def test_mariadb(mariadb: mysqloracle.Both) -> None:
    check(mariadb, mysqloracle.compared, MARIADB)
