"""What a statement in a log may say, and to whom."""

from __future__ import annotations

import subprocess
import sys

UNREAD = "create trigger x before insert on t for each row set @a = 's3cret'"


def test_a_statement_that_is_not_parsed_is_not_printed() -> None:
    """In a process of its own, since another part of ours has the library silenced, too."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from cdc.mysql.statements import tables; print(tables('d', {UNREAD!r}))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (run.stdout, run.stderr) == ("None\n", "")
