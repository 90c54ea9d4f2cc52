"""Fifty kills in one run: nothing lost, nothing doubled, the checkpoint never goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.failpoints import NAMES
from tests.kill.harness import torture


@pytest.mark.timeout(900)
def test_fifty_kills_lose_and_double_nothing(server_path: Path) -> None:
    outcome = torture(50, server_path)
    print(outcome.line(), outcome.kills)
    assert sum(outcome.kills.values()) >= 50
    assert set(outcome.kills) >= set(NAMES), "every failpoint must have been reached"
    assert outcome.operations > 1000
    assert outcome.clean, outcome
