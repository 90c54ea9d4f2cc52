"""`tailrace preview MAPPING`: source rows beside what the mapping makes of them."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cdc.changes import READ, TableChanges
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.mysql.sample import sample as sample_of
from cdc.patterns import Patterns
from cdc.postgres.catalog import CatalogTable, read_tables
from cdc.postgres.decode import CopyDecoder
from cdc.postgres.session import Connection, connect, quoted, translated
from cdc.postgres.settings import PostgresSource
from cdc.schema import TableName
from config.load import load_project
from config.owners import beside, entities_of
from config.project import Project, Source
from tailrace.errors import ConfigError
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
    source = project.sources[_source_of(project, mapping)]
    declared = project.mappings[mapping]
    rows = _rows(source, declared.source, sample)
    named = {lookup.source for lookup in declared.lookups.values()}
    lookups = [_rows(source, name, ROWS_MAX + 1) for name in sorted(named)]
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


def _rows(source: Source, name: TableName, rows: int) -> TableChanges:
    if isinstance(source, PostgresSource):
        return _from_postgres(source, name, rows)
    if isinstance(source, KafkaDebeziumSource):
        raise ConfigError(
            "preview reads a sample of a table, and this source has topics",
            fix="write examples beside the mapping (tailrace mapping test), or deliver into a file",
        )
    return sample_of(source, name, rows)


def _source_of(project: Project, mapping: str) -> str:
    for pipeline in project.pipelines.values():
        if mapping in pipeline.mappings:
            return pipeline.source
    raise ConfigError(
        f"no pipeline uses mapping {mapping!r}",
        where={"file": "tailrace.yml"},
        fix="name it under `mappings` of a pipeline",
    )


def _from_postgres(source: PostgresSource, name: TableName, rows: int) -> TableChanges:
    exact = '"{}"."{}"'.format(*(part.replace('"', '""') for part in (name.schema, name.name)))
    with connect(source.url) as connection, translated("reading a sample"):
        tables = read_tables(connection, Patterns.parse([exact]))
        if not tables:
            raise ConfigError(f"the source has no table {name}")
        return _sample(connection, tables[0], rows)


def _sample(connection: Connection, table: CatalogTable, rows: int) -> TableChanges:
    columns = ", ".join(quoted(column.name) for column in table.schema.columns)
    name = quoted(table.name.schema, table.name.name)
    decoder = CopyDecoder(table.schema, "0/0", int(time.time() * 1e6))
    buffer = bytearray()
    statement = f"COPY (SELECT {columns} FROM {name} LIMIT {rows}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for piece in copy:
            buffer += piece
            del buffer[: decoder.feed(buffer, 0, len(buffer))]
    (changes,) = decoder.take(complete=True).tables
    return changes


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
