"""Each error has a code and a row in the table; each row is used; docs/errors.md is the table."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.errors import (
    ConfigError,
    JournalFull,
    SourceError,
    TailraceError,
    TargetUnavailable,
)
from tailrace.pipeline.policy import ACTIONS, POLICIES, kinds, manual, policy_of
from tailrace.pipeline.retry import FIRST_WAIT_S, LONGEST_WAIT_S, RETRIED, Backoff
from tailrace.service.output import shown
from tailrace.state.processes import describe_error

ROOT = Path(__file__).parents[2]
PACKAGES = ("cdc", "transforms", "sinks", "config", "tailrace")


def every_kind() -> set[type[TailraceError]]:
    """All classes of the tree, after everything that could declare one was imported."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = {TailraceError}, [TailraceError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__.partition(".")[0] in PACKAGES and kind not in found:
                found.add(kind)
                waiting.append(kind)
    return found


def made() -> Iterator[str]:
    """The name of each class that is called somewhere in the product."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = node.func
                    yield getattr(called, "id", getattr(called, "attr", ""))


KINDS = every_kind()
MADE = set(made())


def families() -> set[type[TailraceError]]:
    """Classes that only hold others together and are never raised."""
    return {kind for kind in KINDS if kind.__name__ not in MADE}


def test_each_kind_that_is_raised_has_a_code_of_the_table() -> None:
    codes = {policy.kind: policy.code for policy in POLICIES}
    for kind in KINDS - families():
        row = next(base for base in kind.__mro__ if base in codes)
        assert kind.code == codes[row], f"{kind.__name__} says {kind.code}"
        assert row is not TailraceError or kind is TailraceError, f"{kind.__name__} has no row"


def test_each_row_is_of_a_kind_that_is_raised() -> None:
    for policy in POLICIES:
        kind = policy.kind
        if issubclass(kind, TailraceError):
            raised = KINDS - families()
            assert any(issubclass(one, kind) and one.code == policy.code for one in raised), kind


def test_no_two_rows_have_one_code() -> None:
    codes = [policy.code for policy in POLICIES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"TR-[0-9]{3}", code) for code in codes)


def test_every_action_is_explained() -> None:
    assert {policy.action for policy in POLICIES} <= set(ACTIONS)


def test_the_manual_is_the_table() -> None:
    written = (ROOT / "docs" / "errors.md").read_text()
    assert written == manual(), "docs/errors.md is not what the table says: make docs"


def test_what_is_retried_is_what_the_table_says() -> None:
    assert set(RETRIED) == set(kinds("retry"))
    assert {TargetUnavailable, JournalFull} <= set(RETRIED)


@pytest.mark.parametrize("error", [SourceError("x"), ValueError("x"), KeyError("x")])
def test_every_error_has_a_policy(error: Exception) -> None:
    assert policy_of(error).action in ACTIONS


def test_waits_double_up_to_a_cap_with_jitter() -> None:
    backoff = Backoff()
    waits = [backoff.next_s() for _ in range(30)]
    for number, wait in enumerate(waits):
        ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number)
        assert ceiling / 2 <= wait <= ceiling
    assert len(set(waits)) > 20
    backoff.reset()
    assert backoff.next_s() <= FIRST_WAIT_S


def test_people_and_programs_see_the_code() -> None:
    error = ConfigError("wrong", where={"file": "tailrace.yml", "line": 3}, fix="mend it")
    assert shown(error) == "tailrace.yml:3: wrong  [TR-101]\n  → mend it"
    assert shown(TargetUnavailable("gone")) == "tailrace: gone  [TR-501]"
    assert describe_error(error)["code"] == "TR-101"
    assert describe_error(KeyError("x"))["code"] == "TR-900"
