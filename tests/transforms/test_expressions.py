"""Every function, operator and cast against a real PostgreSQL, over rows full of edge values."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tailrace.service.localpg import LocalPostgres
from tests.transforms import cases
from tests.transforms.oracle import FAILED, Both, compared, each
from transforms.expressions.functions import FUNCTIONS


@pytest.fixture(scope="module")
def oracles(pg18: LocalPostgres, pg15: LocalPostgres) -> Iterator[dict[str, Both]]:
    """By the server's version."""
    with each([pg18.url(), pg15.url()]) as (newer, older):
        yield {"18": newer, "15": older}


ALL = [
    *(case for group in cases.FUNCTIONS.values() for case in group),
    *cases.OPERATORS,
    *cases.MOVES,
    *cases.MATCHES,
    *cases.COMPARISONS,
    *cases.LOGIC,
    *cases.CASTS,
]


def _unlike(wanted: str | None, found: str | None) -> bool:
    """PostgreSQL has values that are not computed on here; for these a row fails, aloud."""
    wanted = wanted or ""
    digits = sum(character.isdigit() for character in wanted)
    beyond = wanted in ("NaN", "Infinity", "-Infinity") or wanted.endswith("BC") or digits > 38
    return not (found == FAILED and beyond)


Found = tuple[str | None, str | None, int]


def differing(
    oracles: dict[str, Both], expression: str, is_wrong: Callable[[Found], bool]
) -> list[tuple[str, Found]]:
    """(version, what `compared` found) of what is wrong."""
    last: Both | None = None
    wrong = []
    for version, oracle in oracles.items():
        oracle.asked = last.asked if last else None
        wrong += [(version, one) for one in compared(oracle, expression) if is_wrong(one)]
        last = oracle
    return wrong


@pytest.mark.parametrize("expression", ALL)
def test_as_postgres(oracles: dict[str, Both], expression: str) -> None:
    wrong = differing(oracles, expression, lambda found: _unlike(found[0], found[1]))
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("expression", cases.STRICT)
def test_casts_of_text_are_strict_but_never_differ(
    oracles: dict[str, Both], expression: str
) -> None:
    wrong = differing(oracles, expression, lambda found: found[1] != FAILED)
    assert not wrong, wrong[:5]


def test_every_function_is_compared() -> None:
    ours = {"parse_date", "parse_decimal"}
    assert set(cases.FUNCTIONS) == set(FUNCTIONS) - ours
