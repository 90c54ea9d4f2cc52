"""The demo from beginning to end: servers, `tailrace run`, the acts, comparison, nothing left."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from tailrace.errors import TailraceError
from tailrace.service.demo import servers
from tailrace.service.demo.figures import Figures
from tailrace.service.demo.line import Line
from tailrace.service.demo.load import Load
from tailrace.service.demo.oracle import Comparison, compare
from tailrace.service.demo.play import Play
from tailrace.service.demo.screen import Screen
from tailrace.service.demo.shop import TABLES, Shop
from tailrace.service.demo.signals import Signals
from tailrace.service.localmaria import binary as mariadb
from tailrace.service.localpg import LocalPostgres

ROWS = 64_000


def main(seconds: float | None, rows: int = ROWS) -> int:
    """Exit code: 0 where every row of every target table is as it must be.

    `seconds` is how long the ERP is changed; None: until Ctrl-C.
    """
    with Signals() as signals, ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="tailrace-demo-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        scratch.chmod(0o755)  # the servers' user must reach its own directories inside
        with_shop = mariadb() is not None
        print(
            f"Making a legacy ERP with about {rows:,} rows,"
            + (" a web shop on MariaDB" if with_shop else "")
            + " and an empty hub …",
            flush=True,
        )
        erp, hub = servers.start(stack, scratch, rows)
        shop = None
        if with_shop:
            shop = Shop(scratch / "shop", rows // 16)
            stack.callback(shop.end)
        changes, compared = _play(stack, signals, scratch, erp, hub, shop, seconds, rows)
    return _verdict(changes, compared)


def _play(
    stack: ExitStack,
    signals: Signals,
    scratch: Path,
    erp: LocalPostgres,
    hub: LocalPostgres,
    shop: Shop | None,
    seconds: float | None,
    rows: int,
) -> tuple[int, Comparison]:
    """Changes made, and what the comparison found."""
    urls = {
        "DEMO_ERP_URL": erp.url("erp", "tailrace_source"),
        "DEMO_HUB_URL": hub.url("hub", "tailrace_hub"),
    }
    if shop is not None:
        urls["DEMO_SHOP_URL"] = shop.url
    project = write_project(scratch / "project", with_shop=shop is not None)
    line = stack.enter_context(Line(project, urls))
    load = Load(erp.url("erp"), rows)
    stack.callback(load.stop)
    stack.callback(signals.ignore)  # what is being removed is removed, whatever keys are pressed

    def changes() -> int:
        return load.changes + (shop.changes if shop else 0)

    screen = Screen(Figures(line, changes), erp.url("erp"), hub.url("hub"))
    play = Play(line, load, screen, signals, shop)
    try:
        play.snapshot()
        play.work(seconds)
        play.drain(erp.url("erp"), hub.url("hub"))
        screen.event("comparing every row")
        screen.say()
        others = () if shop is None else TABLES
        compared = compare(erp.url("erp"), hub.url("hub"), others)
        if shop is not None:
            shop.compare(hub.url("hub"), compared)
        signals.check()
        return changes(), compared
    except TailraceError:
        print(line.log, file=sys.stderr)
        raise


def write_project(directory: Path, *, with_shop: bool = False) -> Path:
    """A copy of the demo's project, for `tailrace run`."""
    for name in ("project", *(("project_with_shop",) if with_shop else ())):
        with resources.as_file(resources.files("tailrace.service.demo") / name) as files:
            shutil.copytree(files, directory, dirs_exist_ok=True)
    return directory


def _verdict(changes: int, compared: Comparison) -> int:
    for key in compared.keys:
        print(f"differs: {key}")
    print(f"demo: {changes} changes, {compared.rows} rows compared, {compared.different} different")
    return 1 if compared.different else 0
