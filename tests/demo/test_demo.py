"""`tailrace demo` as people call it: the last line, the exit code, and that nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tailrace.service.demo import run
from tailrace.service.demo.oracle import KEYS_SHOWN_MAX, Comparison, compare
from tailrace.service.demo.shop import Shop
from tailrace.service.localmaria import binary
from tests.line import DEADLINE_S, wait_until

ROWS = 4000
LAST = re.compile(r"demo: (\d+) changes, (\d+) rows compared, (\d+) different")


@pytest.fixture
def scratch(server_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its temporary directory."""
    monkeypatch.setenv("TMPDIR", str(server_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return server_path


def assert_nothing_left(scratch: Path) -> None:
    assert list(scratch.glob("tailrace-demo-*")) == []
    assert _processes(str(scratch)) == []


def _processes(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if word in line:
            found.append(line)
    return found


@contextmanager
def demo(scratch: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The command, and the file that holds what it prints."""
    output = scratch / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tailrace.service", "demo"],
            stdout=file,
            stderr=file,
            text=True,
            env={**os.environ, "DEMO_ROWS": str(ROWS), **environment},
            # A test run in the background of a shell ignores SIGINT, and its children with it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield process, output
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)


def last_line(text: str) -> tuple[int, int, int]:
    found = LAST.fullmatch(text.splitlines()[-1])
    assert found is not None, text
    changes, rows, different = map(int, found.groups())
    return changes, rows, different


def test_it_ends_by_itself_and_every_row_is_right(scratch: Path) -> None:
    with demo(scratch, DEMO_SECONDS="4") as (process, output):
        code = process.wait(2 * DEADLINE_S)
    text = output.read_text()
    assert code == 0, text
    changes, rows, different = last_line(text)
    assert changes > 100
    assert rows > ROWS
    assert different == 0
    for role in ("capture", "deliver"):
        assert f"killed {role}" in text
        assert f"{role} recovered" in text
    for word in ("captured", "inserts", "updates", "deletes", "lag", "checkpoint"):
        assert word in text
    assert ("a web shop on MariaDB" in text) == (binary() is not None)
    assert_nothing_left(scratch)


def test_ctrl_c_drains_and_compares(scratch: Path) -> None:
    with demo(scratch) as (process, output):
        wait_until(lambda: "the ERP is at work" in output.read_text(), "the load")
        process.send_signal(signal.SIGINT)
        code = process.wait(2 * DEADLINE_S)
    text = output.read_text()
    assert code == 0, text
    assert last_line(text)[2] == 0
    assert_nothing_left(scratch)


def test_sigterm_ends_it_and_leaves_nothing(scratch: Path) -> None:
    with demo(scratch) as (process, output):
        wait_until(lambda: "the ERP is at work" in output.read_text(), "the load")
        process.terminate()
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert_nothing_left(scratch)


def test_a_difference_makes_it_exit_1(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tampered(source_url: str, target_url: str, *others: Sequence[str]) -> Comparison:
        with psycopg.connect(target_url) as target:
            target.execute("update hub.customer set name = name || '!'")
            target.execute("insert into hub.product (product_no, name, price) values ('ZZ', '', 0)")
        return compare(source_url, target_url, *others)

    monkeypatch.setattr(run, "compare", tampered)
    assert run.main(1, ROWS) == 1
    text = capsys.readouterr().out
    assert text.count("differs: hub.customer C-") == KEYS_SHOWN_MAX
    assert "GmbH" not in text  # keys only
    assert last_line(text)[2] > ROWS // 10
    assert_nothing_left(scratch)


@pytest.mark.skipif(binary() is None, reason="MariaDB is not installed")
def test_a_difference_in_what_the_shop_sent_is_found(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tampered(source_url: str, target_url: str, *others: Sequence[str]) -> Comparison:
        with psycopg.connect(target_url) as target:
            target.execute("update hub.web_order set buyer = buyer || '!' where order_no = 'W-1'")
            target.execute("delete from raw.vouchers where code = 'V7'")
            target.execute("insert into raw.vouchers values ('V7', 7, null)")
        return compare(source_url, target_url, *others)

    monkeypatch.setattr(run, "compare", tampered)
    monkeypatch.setattr(Shop, "start", lambda _: None)  # nobody else changes these two
    assert run.main(1, ROWS) == 1
    text = capsys.readouterr().out
    assert "differs: hub.web_order W-1\n" in text
    assert "differs: raw.vouchers V7\n" in text
    assert last_line(text)[2] == 2
    assert_nothing_left(scratch)


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({"DEMO_SECONDS": "soon"}, []),
        ({"DEMO_SECONDS": "nan"}, []),
        ({"DEMO_SECONDS": "0"}, []),
        ({"DEMO_ROWS": "3"}, []),
        ({}, ["--project", "."]),
    ],
)
def test_what_it_does_not_take_is_a_usage_error(
    environment: dict[str, str], arguments: list[str]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tailrace.service", *arguments, "demo"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Error" in ended.stderr
