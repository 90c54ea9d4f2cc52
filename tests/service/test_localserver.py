"""The servers that demo, tests and bench start for themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.service.localmaria import binary
from tests.line import is_gone, wait_until

STARTER = """
import sys, time
from pathlib import Path
from tailrace.service.{module} import {server}
print({server}.start(Path(sys.argv[1])).pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("module", "server"), [("localpg", "LocalPostgres"), ("localmaria", "LocalMariadb")]
)
def test_a_server_ends_with_a_starter_that_was_killed(
    module: str, server: str, server_path: Path
) -> None:
    if module == "localmaria" and binary() is None:
        pytest.skip("MariaDB is not installed (apt install mariadb-server)")
    text = STARTER.format(module=module, server=server)
    starter = subprocess.Popen(
        [sys.executable, "-c", text, server_path / "server"], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        pid = int(starter.stdout.readline())
    assert not is_gone(pid)
    starter.kill()
    starter.wait()
    wait_until(lambda: is_gone(pid), "the server to end")
