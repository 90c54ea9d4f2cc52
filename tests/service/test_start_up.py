"""What a command loads before it begins: it is paid by each process of a project, in time and in
memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.line import DEADLINE_S

HEAVY = ["duckdb", "numpy", "psycopg", "pyarrow", "pymysql", "sqlglot"]
"""What works on rows or expressions, or speaks to databases."""


@pytest.mark.parametrize("command", ["run", "status", "validate"])
def test_what_looks_at_no_row_loads_nothing_heavy(command: str) -> None:
    look = (
        f"import sys, tailrace.service.commands.{command}\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    assert done.stdout.strip() == "[]"
