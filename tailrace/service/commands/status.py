"""`tailrace status`: what each process last said, and how far the line is."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from cdc.sizes import format_bytes
from config.load import load_project
from tailrace.service.health import Expected, Health
from tailrace.service.layout import Layout
from tailrace.state.processes import Report, is_alive, read_reports


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, output: str) -> None:
    """Show state, lag, rows and the last error of each process.

    Exit code 1 where a process is not running or the line is not ready.
    """
    project = load_project(directory, resolve_secrets=False)
    layout = Layout(directory.resolve())
    reports: dict[tuple[str, str], Report] = {
        (report.role, report.name): report for report in read_reports(layout.run)
    }
    used = sorted({pipeline.source for pipeline in project.pipelines.values()})
    expected = [Expected("capture", name, project.sources[name].retain_max) for name in used]
    expected += [Expected("deliver", name) for name in project.pipelines]
    health = Health(expected)
    problems = health.problems(list(reports.values()))
    warnings = health.warnings(list(reports.values()))
    lines = [_line(process, reports.get(_key(process))) for process in expected]
    if output == "json":
        shown = {"processes": lines, "problems": problems, "warnings": warnings}
        click.echo(json.dumps(shown, indent=2))
    else:
        for line in lines:
            click.echo(_text(line))
        for problem in problems:
            click.echo(f"not ready: {problem}")
        for warning in warnings:
            click.echo(f"warning: {warning}")
    raise SystemExit(1 if problems else 0)


def _key(process: Expected) -> tuple[str, str]:
    return process.role, process.name


def _line(process: Expected, report: Report | None) -> dict[str, object]:
    if report is None:
        return {"role": process.role, "name": process.name, "state": "not running"}
    alive = is_alive(report)
    return {
        "role": report.role,
        "name": report.name,
        "state": report.state if alive or report.state == "failed" else "not running",
        "pid": report.pid if alive else None,
        "state_for_s": round(time.time() - report.since_s, 1),
        "said_s_ago": round(time.time() - report.updated_s, 1),
        "error": report.error,
        **report.facts,
    }


def _text(line: dict[str, object]) -> str:
    words = [f"{line['role']:8}", f"{line['name']:20}", f"{line['state']:12}"]
    for key in ("position", "table", "rows", "rows_estimated", "rows_captured"):
        if line.get(key):
            words.append(f"{key} {line[key]}")
    for key in ("lag_bytes", "held_bytes", "room_bytes", "journal_bytes"):
        if isinstance(size := line.get(key), int):
            words.append(f"{key.removesuffix('_bytes')} {format_bytes(size)}")
    if "lag_entries" in line:
        words.append(f"lag {line['lag_entries']} entries, {line.get('lag_s')} s")
    words += [f"{state} {line[state]}" for state in ("parked", "waiting") if line.get(state)]
    for what in ("discrepancies", "identity_conflicts"):
        if isinstance(found := line.get(what), dict) and any(found.values()):
            counts = ", ".join(f"{entity} {count}" for entity, count in found.items() if count)
            words.append(f"{what.replace('_', ' ')} {counts}")
    text = "  ".join(words)
    error = line.get("error")
    if isinstance(error, dict):
        where = " ".join(f"{key}={value}" for key, value in (error.get("where") or {}).items())
        text += f"\n         {error['code']} {error['kind']}: {error['what']}" + (
            f" [{where}]" if where else ""
        )
        if error.get("fix"):
            text += f"\n         → {error['fix']}"
    return text
