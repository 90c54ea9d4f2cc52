"""`tailrace demo`: a legacy ERP replicated into canonical entities, under load, while you watch."""

from __future__ import annotations

import os

import click


@click.command()
def command() -> None:
    """Show the whole line at work on two servers of its own.

    DEMO_SECONDS ends it by itself; without it, Ctrl-C does. At the end every row of every target
    table is compared with what plain SQL over the source says it must be.
    """
    from tailrace.service.demo.run import ROWS, main

    seconds = os.environ.get("DEMO_SECONDS")
    try:
        raise SystemExit(
            main(float(seconds) if seconds else None, int(os.environ.get("DEMO_ROWS", ROWS)))
        )
    except ValueError as error:
        raise click.UsageError("DEMO_SECONDS and DEMO_ROWS are numbers") from error
