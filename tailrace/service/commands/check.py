"""`tailrace check`: what the databases have to say, before anything is created in them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from cdc.findings import Finding
from cdc.postgres.catalog import read_tables
from cdc.postgres.preflight import inspect as inspect_source
from cdc.postgres.script import source_script
from cdc.postgres.session import connect, translated
from cdc.schema import TableSchema
from config.fit import validate_mappings
from config.load import load_project
from config.project import Project
from sinks.postgres.preflight import inspect as inspect_target
from sinks.postgres.preflight import target_script
from tailrace.errors import ConfigError, SourceUnavailable, TailraceError
from tailrace.service.assemble_capture import object_name
from tailrace.state.processes import describe_error


@click.command()
@click.option("--offline", is_flag=True, help="Only the files, as `tailrace validate`.")
@click.option("--sql", is_flag=True, help="Print the script a DBA runs, and connect to nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, offline: bool, sql: bool, output: str) -> None:
    """Check files, connections and databases; each finding comes with its fix.

    Exit code 1 where a database is not ready, 2 where a file is wrong.
    """
    project = load_project(directory, resolve_secrets=not offline)
    if sql:
        click.echo(_script(project))
        return
    findings: dict[str, list[Finding]] = {}
    errors: list[TailraceError] = []
    if not offline:
        schemas = _look(project, findings, errors)
        errors += validate_mappings(project, schemas)
    _show(findings, errors, output)
    if any(isinstance(error, ConfigError) for error in errors):
        raise SystemExit(2)
    found = [finding for some in findings.values() for finding in some]
    if errors or any(finding.severity == "error" for finding in found):
        raise SystemExit(1)


def _script(project: Project) -> str:
    parts = [
        source_script(source, object_name(project, name))
        for name, source in project.sources.items()
    ]
    return "\n".join(parts + [target_script(target) for target in project.targets.values()])


def _look(
    project: Project, findings: dict[str, list[Finding]], errors: list[TailraceError]
) -> dict[str, list[TableSchema]]:
    """Look at every database. Gives each reachable source's tables."""
    schemas: dict[str, list[TableSchema]] = {}
    for name, source in project.sources.items():
        try:
            findings[f"source {name}"] = inspect_source(source, object_name(project, name))
            connection = connect(source.url)
            with connection, translated("reading the catalog"):
                tables = read_tables(connection, source.patterns)
            schemas[name] = [table.schema for table in tables]
        except SourceUnavailable as error:
            errors.append(error)
    for name, target in project.targets.items():
        try:
            findings[f"target {name}"] = inspect_target(target)
        except TailraceError as error:
            errors.append(error)
    return schemas


def _show(findings: dict[str, list[Finding]], errors: list[TailraceError], output: str) -> None:
    if output == "json":
        shown = {where: [asdict(one) for one in some] for where, some in findings.items()}
        click.echo(
            json.dumps(
                {"findings": shown, "errors": [describe_error(error) for error in errors]}, indent=2
            )
        )
        return
    for where, some in findings.items():
        click.echo(f"{where}: " + ("ok" if not some else f"{len(some)} finding(s)"))
        for finding in some:
            click.echo(f"  {finding.severity}: {finding.what} [{finding.where}]")
            click.echo("".join(f"    {line}\n" for line in finding.fix.splitlines()), nl=False)
    for error in errors:
        click.echo(f"error: {error}")
    if not findings and not errors:
        click.echo("files: ok")
