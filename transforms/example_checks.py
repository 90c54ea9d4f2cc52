"""What is wrong with a mapping's examples by themselves, before they are run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdc.schema import TableSchema
from transforms.checks import suggestion
from transforms.declared import printed
from transforms.errors import Loc, MappingError
from transforms.examples import OUTCOMES, Example, Expected
from transforms.model import Mapping as MappingModel
from transforms.model import Rows


def check_examples(mapping: MappingModel) -> list[MappingError]:
    """What is wrong with the examples by themselves."""
    errors: list[MappingError] = []
    schema = mapping.declared
    for at, example in enumerate(mapping.examples if schema is not None else ()):
        assert schema is not None
        loc: Loc = ("examples", at)
        for part, row in (("before", example.before), ("given", example.after)):
            if row is not None:
                errors += _check_row(mapping, schema, row, (*loc, part))
        errors += _check_lookups(mapping, example, (*loc, "lookups"))
        for where, rows, expected in expectations(mapping, example):
            errors += _check_expected(mapping, rows, expected, (*loc, *where))
    return errors


def _check_lookups(mapping: MappingModel, example: Example, loc: Loc) -> Iterator[MappingError]:
    for alias, rows in example.lookups.items():
        lookup = mapping.lookups.get(alias)
        if lookup is None:
            yield MappingError(
                f"the mapping has no lookup {alias}",
                mapping=mapping.mapping,
                loc=(*loc, alias),
                fix=suggestion(alias, mapping.lookups),
            )
        elif lookup.declared is not None:
            for at, row in enumerate(rows):
                yield from _check_row(mapping, lookup.declared, row, (*loc, alias, at))


def _check_row(
    mapping: MappingModel, schema: TableSchema, row: Mapping[str, str], loc: Loc
) -> Iterator[MappingError]:
    columns = {column.name: column for column in schema.columns}
    for name, written in row.items():
        if name not in columns:
            what = f"{name} is not among `columns`"
            yield MappingError(
                what,
                mapping=mapping.mapping,
                loc=(*loc, name),
                fix=suggestion(name, columns) or f"add it there: {name}: text",
            )
            continue
        try:
            printed(columns[name], written)
        except ValueError as error:
            yield MappingError(str(error), mapping=mapping.mapping, loc=(*loc, name))
    for name, column in columns.items():
        if name not in row and not column.nullable:
            what = f"it lacks {name}, which is NOT NULL"
            yield MappingError(what, mapping=mapping.mapping, loc=loc)


def _check_expected(
    mapping: MappingModel, rows: Rows | None, expected: object, loc: Loc
) -> Iterator[MappingError]:
    names = [part.name for _, part in mapping.parts]
    if rows is None:
        what = f"none of the rows is named {loc[-1]}"
        yield MappingError(
            what, mapping=mapping.mapping, loc=loc, fix=f"they are {', '.join(names)}"
        )
    elif isinstance(expected, dict):
        soft = rows.on_delete.column
        known = [*rows.key, *rows.fields, *([] if soft is None else [soft])]
        for name, value in expected.items():
            if name not in known:
                yield MappingError(
                    f"the mapping gives no field {name}",
                    mapping=mapping.mapping,
                    loc=(*loc, name),
                    fix=suggestion(name, known),
                )
            elif not isinstance(value, str):
                what = "a field is expected to be one text"
                yield MappingError(what, mapping=mapping.mapping, loc=(*loc, name))


def expectations(
    mapping: MappingModel, example: Example
) -> Iterator[tuple[Loc, Rows | None, Expected]]:
    """Where in the example something is expected, of which rows (None: of none there are)."""
    if example.expect is None:
        return
    parts = {rows.name: rows for _, rows in mapping.parts}
    if mapping.rows is None:
        yield ("expect",), next(iter(parts.values())), example.expect
    elif example.expect in OUTCOMES:
        for rows in parts.values():
            yield ("expect",), rows, example.expect
    else:
        for name, expected in example.expect.items():
            yield ("expect", name), parts.get(name), expected
