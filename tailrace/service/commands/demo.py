"""`tailrace demo`: a legacy ERP replicated into canonical entities, under load, while you watch."""

from __future__ import annotations

import math
import os

import click
from click.core import ParameterSource


@click.command()
@click.pass_context
def command(context: click.Context) -> None:
    """Show the whole line at work on servers of its own.

    DEMO_SECONDS ends it by itself; without it, Ctrl-C does. At the end every row of every target
    table is compared with what plain SQL over the source says it must be. DEMO_ROWS scales the
    data set.
    """
    from tailrace.service.demo.run import ROWS, main
    from tailrace.service.demo.servers import ROWS_MIN

    parent = context.parent
    if parent and parent.get_parameter_source("directory") is not ParameterSource.DEFAULT:
        raise click.UsageError("demo brings a project of its own; leave out --project")
    seconds = _number("DEMO_SECONDS", 1)
    rows = _number("DEMO_ROWS", ROWS_MIN)
    raise SystemExit(main(seconds, ROWS if rows is None else int(rows)))


def _number(name: str, least: float) -> float | None:
    text = os.environ.get(name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number >= least and math.isfinite(number)):
        raise click.UsageError(f"{name} is a number from {least:g}")
    return number
