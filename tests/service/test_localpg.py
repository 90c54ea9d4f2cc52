"""The servers that demo, tests and bench start for themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.line import wait_until

STARTER = """
import sys, time
from pathlib import Path
from tailrace.service.localpg import LocalPostgres
print(LocalPostgres.start(Path(sys.argv[1])).pid, flush=True)
time.sleep(1000)
"""


def test_a_server_ends_with_a_starter_that_was_killed(server_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, server_path / "server"], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        server = int(starter.stdout.readline())
    os.kill(server, 0)
    starter.kill()
    starter.wait()

    def gone() -> bool:
        try:
            os.kill(server, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(gone, "the server to end")
