"""Every function, operator and cast against a real PostgreSQL, over rows full of edge values."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tailrace.service.localpg import LocalPostgres
from tests.transforms import cases
from tests.transforms.oracle import FAILED, Both, both, compared
from transforms.expressions.functions import FUNCTIONS


@pytest.fixture(scope="module", params=["18", "15"], ids=["pg18", "pg15"])
def oracle(request: pytest.FixtureRequest) -> Iterator[Both]:
    server: LocalPostgres = request.getfixturevalue(f"pg{request.param}")
    yield from both(server.url())


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


@pytest.mark.parametrize("expression", ALL)
def test_as_postgres(oracle: Both, expression: str) -> None:
    differing = [found for found in compared(oracle, expression) if _unlike(found[0], found[1])]
    assert not differing, differing[:5]


@pytest.mark.parametrize("expression", cases.STRICT)
def test_casts_of_text_are_strict_but_never_differ(oracle: Both, expression: str) -> None:
    differing = [found for found in compared(oracle, expression) if found[1] != FAILED]
    assert not differing, differing[:5]


def test_every_function_is_compared() -> None:
    ours = {"parse_date", "parse_decimal"}
    assert set(cases.FUNCTIONS) == set(FUNCTIONS) - ours
