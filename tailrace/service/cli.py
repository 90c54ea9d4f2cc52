"""The command `tailrace`. Each command is a module of its own, imported when it is called.

Exit codes: 0 ok, 1 failure, 2 usage or configuration.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path

import click

from tailrace.errors import UNEXPECTED, TailraceError
from tailrace.service.output import shown

COMMANDS = {
    "init": "Write a commented project into the directory.",
    "discover": "Write entity and mapping stubs from SOURCE's catalog.",
    "validate": "Check the project's files, without any connection.",
    "check": "Check connections and databases; name the fix of each finding.",
    "preview": "Show source rows beside the rows that MAPPING makes of them.",
    "mapping": "Test mappings by the examples beside them.",
    "reveal": "Show what tokens stand for, with this project's keys.",
    "contract": "Compare contracts of entities; exchange them as Open Data Contracts.",
    "run": "Run every source and pipeline of the project.",
    "capture": "Capture one source into its journal.",
    "deliver": "Deliver one pipeline's journal to its target.",
    "status": "Show state, lag, rows and the last error of each process.",
    "discrepancies": "List where sources of an entity differ.",
    "identity": "See which records of sources are one entity; merge and split them.",
    "exceptions": "Look at changes that could not be applied; mend, replay or discard them.",
    "remove": "Drop what is ours at SOURCE, and prove it.",
    "demo": "Watch a legacy ERP being replicated under load.",
}
_FOLDER = Path(__file__).with_name("commands")


class _Lazy(click.Group):
    """Knows names and one-line helps without importing; lists only what is there."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name in COMMANDS if (_FOLDER / f"{name}.py").exists()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module = importlib.import_module(f"tailrace.service.commands.{name}")
        command: click.Command = module.command
        command.name = name
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(context)])


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import version

    from cdc.mysql.layout import COMPILED as MARIADB_COMPILED
    from cdc.postgres.decode import COMPILED as POSTGRES_COMPILED
    from sinks.rowtext import COMPILED as ENCODER_COMPILED

    words = {True: "compiled", False: "uncompiled (slow)"}
    click.echo(f"tailrace {version('tailrace')}")
    click.echo(f"decoder  {words[POSTGRES_COMPILED and MARIADB_COMPILED]}")
    click.echo(f"encoder  {words[ENCODER_COMPILED]}")
    context.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    metavar="DIR",
    help="The project's directory (default: here).",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and whether the compiled modules are in use.",
)
@click.pass_context
def cli(context: click.Context, directory: Path) -> None:
    """Replicate legacy databases into canonical entities, each change exactly once."""
    context.obj = directory


def main() -> None:
    """Entry point: errors become one message on stderr and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(1)
    except Exception as error:
        sys.exit(_failed(error))
    sys.exit(code if isinstance(code, int) else 0)


def _failed(error: Exception) -> int:
    """Say what went wrong. The text of an error that we did not raise may hold row values, and is
    shown only to those who ask for it."""
    if os.environ.get("TAILRACE_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, TailraceError):
        click.echo(shown(error), err=True)
        return error.exit_code
    place = traceback.extract_tb(error.__traceback__)[-1]
    click.echo(
        f"tailrace: unexpected {type(error).__name__} at {Path(place.filename).name}:"
        f"{place.lineno}; TAILRACE_DEBUG=1 shows where it came from  [{UNEXPECTED}]",
        err=True,
    )
    return 1
