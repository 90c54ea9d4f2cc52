"""`tailrace mapping`: what can be done with mappings, without running them."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Test mappings."""


@command.command()
@click.argument("mappings", nargs=-1, metavar="[MAPPING]...")
@click.option("-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text")
@click.pass_obj
def test(directory: Path, mappings: tuple[str, ...], output: str) -> None:
    """Run the examples of MAPPINGs, of all that have some by default, without any connection.

    Exit code 1 where an example does not become what it is expected to, 2 where a file is wrong.
    """
    from tailrace.service.trials import Outcome, run

    outcome: Outcome = run(directory, mappings)
    click.echo(getattr(outcome, output)())
    raise SystemExit(0 if outcome.passed else 1)
