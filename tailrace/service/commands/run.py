"""`tailrace run`: everything this project declares, supervised."""

from __future__ import annotations

import fcntl
import logging
import shutil
from pathlib import Path
from typing import TextIO

import click

from config.load import load_project
from tailrace.errors import TailraceError
from tailrace.pipeline.stopping import Stop
from tailrace.service.health import Expected, Health
from tailrace.service.layout import Layout
from tailrace.service.logs import set_up_logs
from tailrace.service.supervisor import Child, Supervisor
from tailrace.service.web import serve
from tailrace.state.processes import read_reports


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:8470",
    show_default=True,
    metavar="HOST:PORT",
    help="Where /metrics, /livez and /readyz are served.",
)
@click.pass_obj
def command(directory: Path, listen: str) -> None:
    """Run every source and pipeline of the project until SIGTERM or Ctrl-C."""
    project = load_project(directory)
    layout = Layout(directory.resolve())
    set_up_logs("run")
    layout.root.mkdir(parents=True, exist_ok=True)
    lock = _only_one(layout)
    shutil.rmtree(layout.metrics, ignore_errors=True)
    shutil.rmtree(layout.run, ignore_errors=True)
    layout.metrics.mkdir(parents=True)
    layout.run.mkdir(parents=True)
    used = {pipeline.source for pipeline in project.pipelines.values()}
    expected = [
        Expected("capture", name, project.sources[name].retain_max) for name in sorted(used)
    ] + [Expected("deliver", name) for name in project.pipelines]
    stop = Stop()
    stop.listen()
    health = Health(expected)
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise click.BadParameter("expected HOST:PORT", param_hint="--listen")

    def judged() -> tuple[list[str], list[str]]:
        reports = read_reports(layout.run)
        return health.problems(reports), health.warnings(reports)

    web = serve(host.strip("[]"), int(port), layout.metrics, judged)
    address = ":".join(map(str, web.server_address[:2]))
    logging.getLogger("tailrace.run").info("serving", extra={"address": address})
    children = [Child(process.role, process.name) for process in expected]
    try:
        code = Supervisor(layout.project, children, layout.run, layout.metrics, stop).run()
    finally:
        web.shutdown()
        lock.close()
    raise SystemExit(code)


def _only_one(layout: Layout) -> TextIO:
    """Held until this process ends. Errors: TailraceError when another `run` holds it."""
    lock = (layout.root / "run.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise TailraceError(
            "another `tailrace run` has this project",
            where={"project": layout.project},
            fix="stop it first",
        ) from None
    return lock
