"""`tailrace check`: what the databases have to say, before anything is created in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from cdc.findings import Finding
from cdc.schema import TableSchema
from config.load import load_project
from config.problems import each
from config.project import Project
from sinks.protocol import Line
from tailrace.errors import ConfigError, TailraceError
from tailrace.service.layout import Layout
from tailrace.service.output import shown
from tailrace.state.processes import describe_error


@dataclass(slots=True)
class _Found:
    """`findings` by database: ``source erp``."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    errors: list[TailraceError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if any(isinstance(error, ConfigError) for error in self.errors):
            return 2
        return 1 if self.errors or self.count("error") else 0

    def count(self, severity: str) -> int:
        return sum(one.severity == severity for some in self.findings.values() for one in some)


@click.command()
@click.option("--offline", is_flag=True, help="Only the files, as `tailrace validate`.")
@click.option("--sql", is_flag=True, help="Print the script a DBA runs, and connect to nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(directory: Path, offline: bool, sql: bool, output: str) -> None:
    """Check files, connections and databases; each finding comes with its fix.

    Exit code 1 where a database is not ready, 2 where a file is wrong.
    """
    found = _Found()
    try:
        project = load_project(directory, resolve_secrets=not offline)
    except ConfigError as error:
        if output == "text":
            raise
        found.errors += each(error)
    else:
        if sql:
            from tailrace.service.script import script

            click.echo(script(project), nl=False)
            return
        if not offline:
            _look(project, Layout(directory.resolve()), found)
    _show(found, output)
    raise SystemExit(found.exit_code)


def _look(project: Project, layout: Layout, found: _Found) -> None:
    from config.fit import validate_mappings

    schemas: dict[str, list[TableSchema]] = {}
    for name in project.sources:
        try:
            schemas[name] = _look_at_source(project, name, found)
        except TailraceError as error:
            found.errors.append(error)
    misfits = validate_mappings(project, schemas)
    found.errors += misfits
    for name in project.targets:
        try:
            _look_at_target(project, layout, name, {} if misfits else schemas, found)
        except TailraceError as error:
            found.errors.append(error)


def _look_at_source(project: Project, name: str, found: _Found) -> list[TableSchema]:
    """The tables that can be captured."""
    from tailrace.service.sources.registry import adapter_of

    found.findings[f"source {name}"], schemas = adapter_of(project, name).look()
    return schemas


def _look_at_target(
    project: Project,
    layout: Layout,
    name: str,
    schemas: dict[str, list[TableSchema]],
    found: _Found,
) -> None:
    """Only the server, where the tables to be written are not known."""
    from tailrace.service.targets.registry import adapter_of

    lines = [
        _line(project, layout, key, schemas.get(pipeline.source, ()))
        for key, pipeline in project.pipelines.items()
        if pipeline.target == name
    ]
    found.findings[f"target {name}"] = adapter_of(project.targets[name]).look(lines)


def _line(project: Project, layout: Layout, pipeline: str, known: Sequence[TableSchema]) -> Line:
    from tailrace.service.assemble_delivery import router

    routes = router(project, pipeline)
    if routes.lookups is not None:
        routes.lookups.expect(known)
    tables = [table for one in known if one.key for table in routes.target_tables(one)]
    source = project.pipelines[pipeline].source
    return Line(pipeline, source, tuple(tables), layout.checkpoint(pipeline))


def _show(found: _Found, output: str) -> None:
    if output == "json":
        findings = {where: [asdict(one) for one in some] for where, some in found.findings.items()}
        errors = [describe_error(error) for error in found.errors]
        click.echo(json.dumps({"findings": findings, "errors": errors}, indent=2))
        return
    for where, some in found.findings.items():
        click.echo(f"{where}: " + ("ok" if not some else ""))
        for finding in some:
            click.echo(f"  {finding.severity}: {finding.where}: {finding.what}")
            for line in finding.fix.splitlines():
                click.echo(f"      {line}")
    for error in found.errors:
        click.echo(shown(error))
    bad = len(found.errors) + found.count("error")
    click.echo(f"{bad} error(s), {found.count('warning')} warning(s)" if bad else "ready")
