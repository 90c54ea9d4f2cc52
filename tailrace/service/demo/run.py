"""The demo from beginning to end: servers, `tailrace run`, load, two kills, drain, comparison."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import psycopg

from tailrace.errors import TailraceError
from tailrace.service.demo import servers
from tailrace.service.demo.load import Load
from tailrace.service.demo.oracle import Comparison, compare
from tailrace.service.demo.screen import Scene, show
from tailrace.service.layout import Layout
from tailrace.service.localpg import LocalPostgres

ROWS = 64_000
DRAIN_S = 180
SNAPSHOT_S = 180


def main(seconds: float | None, rows: int = ROWS) -> int:
    """Exit code: 0 where every row of every target table is as it must be."""
    scratch = Path(tempfile.mkdtemp(prefix="tailrace-demo-"))
    scratch.chmod(0o755)  # the servers' user must reach its own directories inside
    erp = hub = None
    try:
        print(f"Making a legacy ERP with about {rows:,} rows and an empty hub …", flush=True)
        erp, hub = servers.start(scratch, rows)
        return _play(scratch, erp, hub, seconds, rows)
    finally:
        for server in (erp, hub):
            if server is not None:
                server.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def _play(
    scratch: Path, erp: LocalPostgres, hub: LocalPostgres, seconds: float | None, rows: int
) -> int:
    project = _write_project(scratch / "project")
    load = Load(erp.url("erp"), rows)
    scene = Scene(erp.url("erp"), hub.url("hub"), Layout(project).run, lambda: load.changes)
    line = _start_line(project, erp, hub)
    try:
        _watch(scene, line, load, seconds)
        load.stop()
        _drain(line, erp, hub)
        compared = compare(erp.url("erp"), hub.url("hub"))
    except TailraceError:
        print((project / "log").read_text(errors="replace")[-3000:], file=sys.stderr)
        raise
    finally:
        load.stop()
        _end(line)
    return _verdict(load.changes, compared)


def _verdict(changes: int, compared: Comparison) -> int:
    for key in compared.keys:
        print(f"differs: {key}")
    print(f"demo: {changes} changes, {compared.rows} rows compared, {compared.different} different")
    return 1 if compared.different else 0


def _write_project(directory: Path) -> Path:
    with resources.as_file(resources.files("tailrace.service.demo") / "project") as files:
        shutil.copytree(files, directory)
    return directory


def _start_line(project: Path, erp: LocalPostgres, hub: LocalPostgres) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tailrace.service", "--project", str(project)),
            *("run", "--listen", "127.0.0.1:0"),
        ],
        env={
            **os.environ,
            "DEMO_ERP_URL": erp.url("erp", "tailrace_source"),
            "DEMO_HUB_URL": hub.url("hub", "tailrace_hub"),
        },
        stderr=(project / "log").open("ab"),
        start_new_session=True,  # Ctrl-C is for the demo, which then stops the line itself
    )


def _watch(scene: Scene, line: subprocess.Popen[bytes], load: Load, seconds: float | None) -> None:
    """Snapshot first, then load; one kill of each process on the way."""
    began = time.monotonic()
    scene.event("snapshot of what is there")
    show(scene, lambda: _copied(scene) or _timed_out(line, began + SNAPSHOT_S, "the snapshot"))
    scene.event("streaming; the ERP is at work")
    load.start()
    began = time.monotonic()
    kills = [("deliver", 0.4), ("capture", 0.6)]

    def ends() -> bool:
        _alive(line)
        elapsed = time.monotonic() - began
        while kills and elapsed > kills[0][1] * (seconds or 30):
            _kill(scene, kills.pop(0)[0])
        return seconds is not None and elapsed >= seconds

    try:
        show(scene, ends)
    except KeyboardInterrupt:
        print("Stopping the load …", flush=True)


def _copied(scene: Scene) -> bool:
    capture, deliver = scene.report("capture"), scene.report("deliver")
    return (
        capture is not None
        and deliver is not None
        and capture.state == "streaming"
        and deliver.state == "waiting"
        and bool(deliver.facts.get("offset"))
    )


def _kill(scene: Scene, role: str) -> None:
    report = scene.report(role)
    if report is not None:
        os.kill(report.pid, signal.SIGKILL)
        scene.event(f"kill -9 of {role} (process {report.pid}); it starts again by itself")
        if not sys.stdout.isatty():
            print(scene.events[-1], flush=True)


def _drain(line: subprocess.Popen[bytes], erp: LocalPostgres, hub: LocalPostgres) -> None:
    """Until the last change of all, made here, has arrived: changes arrive in commit order."""
    with psycopg.connect(erp.url("erp"), autocommit=True) as source:
        source.execute(
            "update erp.zahlungsbedingungen set beschreibung = 'Ende' where zb_code = 'VKS'"
        )
    deadline = time.monotonic() + DRAIN_S
    with psycopg.connect(hub.url("hub"), autocommit=True) as target:
        while not target.execute(
            "select 1 from raw.zahlungsbedingungen where beschreibung = 'Ende'"
        ).fetchone():
            _timed_out(line, deadline, "the line to drain")
            time.sleep(0.1)


def _timed_out(line: subprocess.Popen[bytes], deadline: float, what: str) -> bool:
    _alive(line)
    if time.monotonic() > deadline:
        raise TailraceError(f"waited too long for {what}")
    return False


def _alive(line: subprocess.Popen[bytes]) -> None:
    if line.poll() is not None:
        raise TailraceError(f"tailrace run has ended with {line.returncode}")


def _end(line: subprocess.Popen[bytes]) -> None:
    if line.poll() is None:
        line.terminate()
        try:
            line.wait(40)
        except subprocess.TimeoutExpired:
            line.kill()
            line.wait()
