"""Runs the examples of a mapping: each through what delivery runs, and compared with what is
expected.

Here values are the point, since the author wrote them down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import pyarrow as pa

import cdc.changes as change
from cdc.changes import OLD_KEY, TableChanges
from cdc.schema import TableName, TableSchema
from transforms.columns import TEXT
from transforms.declared import printed
from transforms.entity import Entity
from transforms.errors import RowError
from transforms.example_checks import expectations
from transforms.examples import Example, Expected
from transforms.mapped import Mapped
from transforms.model import Mapping as MappingModel
from transforms.rows import DELETE, RowChanges
from transforms.types import NUMBERS, FieldType, Kind
from transforms.words import NULL

_TRUTH = {"t": "true", "f": "false"}


@dataclass(frozen=True, slots=True)
class Difference:
    """Between what is expected of a `field` and what came, in words; a field of `rows` stands
    behind their name: ``customer.status``. It is empty where the whole row is meant."""

    field: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Trial:
    """How the example `at` (counted from 0) went: well, where there are no `differences`."""

    at: int
    name: str | None
    differences: tuple[Difference, ...]


def try_examples(
    mapping: MappingModel, entities: Mapping[str, Entity], others: Sequence[MappingModel] = ()
) -> list[Trial]:
    """Run all examples of a mapping that has passed its checks. `others`: those of its pipeline.

    A field that refers to an entity is given the key that its source's mapping makes; whether there
    is such an entity is not asked. Errors: TransformError.
    """
    schema = mapping.declared
    if schema is None:
        return []
    with closing(Mapped([mapping], entities, others=others)) as mapped:
        return [
            Trial(at, example.name, tuple(_differences(mapping, entities, mapped, schema, example)))
            for at, example in enumerate(mapping.examples)
        ]


def _differences(
    mapping: MappingModel,
    entities: Mapping[str, Entity],
    mapped: Mapped,
    schema: TableSchema,
    example: Example,
) -> Iterator[Difference]:
    _put_lines(mapping, mapped, example)
    try:
        made = mapped.run(_changes(schema, example), 0)
    except RowError as error:
        yield from _failed(mapping, example, error)
        return
    names = [rows.name for _, rows in mapping.parts]
    became = {name: _became(changes) for name, (_, changes) in zip(names, made, strict=True)}
    if example.fails is not None:
        for field, reason in example.fails.items():
            yield Difference(field, f"to fail ({reason})", "no failure")
        return
    for _, rows, expected in expectations(mapping, example):
        assert rows is not None
        prefix = f"{rows.name}." if mapping.rows is not None else ""
        fields = {name: field.type for name, field in entities[rows.entity].fields.items()}
        yield from _compared(prefix, fields, expected, became[rows.name])


def _put_lines(mapping: MappingModel, mapped: Mapped, example: Example) -> None:
    """The looked up tables hold what the example says, and nothing else."""
    lines: dict[TableName, list[dict[str, str | None]]] = {}
    schemas: dict[TableName, TableSchema] = {}
    for alias, lookup in mapping.lookups.items():
        assert lookup.declared is not None, "the checks demand it"
        schema = schemas.setdefault(lookup.source, lookup.declared)
        rows = [_row(schema, row) for row in example.lookups.get(alias, ())]
        lines.setdefault(lookup.source, []).extend(rows)
    for table, rows in lines.items():
        names = [column.name for column in schemas[table].columns]
        made = [tuple(row.get(name) for name in names) for row in rows]
        mapped.lookups[table].put_all(schemas[table], made)


def _compared(
    prefix: str, fields: Mapping[str, FieldType], expected: Expected, got: str | dict[str, str]
) -> Iterator[Difference]:
    if isinstance(expected, str) or isinstance(got, str):
        if expected != got:
            yield Difference(prefix.rstrip("."), _outcome(expected), _outcome(got))
        return
    for name, text in expected.items():
        given = got.get(name)
        if given is None or not _same(fields[name], text, given):
            shown = "a value that is left as it is" if given is None else given
            yield Difference(prefix + name, text, shown)


def _outcome(found: str | dict[str, str]) -> str:
    return found if isinstance(found, str) else "a row"


def _failed(mapping: MappingModel, example: Example, error: RowError) -> Iterator[Difference]:
    """`fails` against the faults that there were."""
    expected = dict(example.fails or {})
    for fault in error.faults:
        rows = fault.mapping.removeprefix(mapping.mapping).lstrip("/")
        name = f"{rows}.{fault.field}" if rows else fault.field
        wanted = expected.pop(name, None)
        if wanted != fault.reason:
            shown = "no failure" if wanted is None else f"to fail ({wanted})"
            yield Difference(name, shown, f"it fails ({fault.reason}): {fault.problem}")
    for name, wanted in expected.items():
        yield Difference(name, f"to fail ({wanted})", "no failure")
    if not error.faults:
        yield Difference("", "a row that can be mapped", error.what)


def _became(changes: list[RowChanges]) -> str | dict[str, str]:
    """What one of the rows makes of a single source row: an outcome, or the fields it sends."""
    found: str | dict[str, str] = "filtered"
    for rows in changes:
        for at in range(rows.rows):
            if rows.op[at].as_py() == DELETE:
                found = "deleted"
                continue
            found = {}
            for index, column in enumerate(rows.table.columns):
                if index in rows.unsent and rows.unsent[index][at].as_py():
                    continue
                value = rows.values[index][at].as_py()
                found[column.name] = NULL if value is None else str(value)
    return found


def _same(field: FieldType, expected: str, got: str) -> bool:
    """Whether two texts are one value of the field's type."""
    if expected == got:
        return True
    if NULL in (expected, got):
        return False
    if field.type.kind is Kind.BOOL:
        return _TRUTH.get(expected, expected) == _TRUTH.get(got, got)
    if field.type.kind in NUMBERS:
        try:
            return Decimal(expected) == Decimal(got)
        except InvalidOperation:
            return False
    return False


def _changes(schema: TableSchema, example: Example) -> TableChanges:
    """The example as a source sends it: of the row before, the key where it is another one."""
    before = _row(schema, example.before)
    after = _row(schema, example.after)
    moved = [name for name in schema.key if before.get(name) != after.get(name)]
    op = change.UPDATE if before else change.CREATE
    if not after:
        op = change.DELETE
    known = bool(before) and bool(moved)
    return TableChanges(
        schema,
        pa.array([op], pa.uint8()),
        pa.array([0], pa.int32()),
        tuple(pa.array([after.get(column.name)], TEXT) for column in schema.columns),
        old_kind=pa.array([OLD_KEY], pa.uint8()) if known else None,
        old=tuple(
            pa.array([before.get(column.name) if column.name in schema.key else None], TEXT)
            for column in schema.columns
        )
        if known
        else None,
    )


def _row(schema: TableSchema, row: Mapping[str, str] | None) -> dict[str, str | None]:
    if row is None:
        return {}
    columns = {column.name: column for column in schema.columns}
    return {name: printed(columns[name], written) for name, written in row.items()}
