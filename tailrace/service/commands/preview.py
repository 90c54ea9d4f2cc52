"""`tailrace preview MAPPING`: source rows beside what the mapping makes of them."""

from __future__ import annotations

from pathlib import Path

import click

from cdc.changes import READ
from config.load import load_project
from config.owners import beside, entities_of
from config.project import Project
from tailrace.errors import ConfigError
from tailrace.service.sources.registry import adapter_of
from transforms.lookups.tables import ROWS_MAX
from transforms.preview import Preview, preview

SHOWN_ROWS = 10


@click.command()
@click.argument("mapping")
@click.option(
    "--sample",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="How many source rows to try.",
)
@click.option(
    "--reveal", is_flag=True, help="Show personal and secret values, too, as the source has them."
)
@click.pass_obj
def command(directory: Path, mapping: str, sample: int, reveal: bool) -> None:
    """Show rows of the source beside the rows that MAPPING makes of them.

    Counts what would be filtered and what would fail, and lists codes that no value map knows.
    Personal and secret fields, and the columns they are computed from, are masked. Exit code 1
    where a row would fail.
    """
    project = load_project(directory)
    if mapping not in project.mappings:
        raise ConfigError(f"no mapping is named {mapping!r}", where={"folder": "mappings"})
    source = adapter_of(project, _source_of(project, mapping))
    declared = project.mappings[mapping]
    rows = source.sample(declared.source, sample)
    named = {lookup.source for lookup in declared.lookups.values()}
    lookups = [source.sample(name, ROWS_MAX + 1) for name in sorted(named)]
    if not (rows.op.to_numpy() == READ).any():
        click.echo(f"{declared.table} is empty")
        return
    failed = 0
    entities = entities_of(project, mapping)
    for seen in preview(
        declared, entities, rows, lookups=lookups, others=beside(project, mapping), reveal=reveal
    ):
        _show(seen)
        failed += seen.count("failed")
    raise SystemExit(1 if failed else 0)


def _source_of(project: Project, mapping: str) -> str:
    for pipeline in project.pipelines.values():
        if mapping in pipeline.mappings:
            return pipeline.source
    raise ConfigError(
        f"no pipeline uses mapping {mapping!r}",
        where={"file": "tailrace.yml"},
        fix="name it under `mappings` of a pipeline",
    )


def _show(seen: Preview) -> None:
    click.echo(f"{seen.name} → {seen.target}")
    for row in seen.rows[:SHOWN_ROWS]:
        click.echo("  " + _line(row.source))
        if row.mapped is not None:
            click.echo("  → " + _line(row.mapped))
        elif row.outcome == "filtered":
            click.echo("  → (filtered)")
        for field, why in row.failures:
            click.echo(f"  ! {field}: {why}")
    counts = ", ".join(f"{seen.count(name)} {name}" for name in ("mapped", "filtered", "failed"))
    click.echo(f"  {len(seen.rows)} rows: {counts}")
    for (field, why), count in seen.failures.items():
        click.echo(f"  {count} × {field}: {why}")
    for field, codes in seen.unlisted.items():
        listed = ", ".join(f"{'NULL' if code is None else code} ({n})" for code, n in codes.items())
        click.echo(f"  codes that {field} does not list: {listed}")


def _line(values: dict[str, str | None]) -> str:
    return "  ".join(f"{name}={'NULL' if text is None else text}" for name, text in values.items())
