"""Combinations that `make test` leaves out, since each part of them runs there with others.

`make test-long` runs them, too; so does pytest with `-m ""`.
"""

from __future__ import annotations

from typing import Any

import pytest


def long(*values: Any) -> Any:
    """A parameter of a test, for `make test-long`."""
    return pytest.param(*values, marks=pytest.mark.long)
