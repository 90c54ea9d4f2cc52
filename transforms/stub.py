"""Entity and mapping files to begin with, from a source table's schema, for `tailrace discover`.

What they say passes the checks as it is: every column becomes a field of its own name and nearest
type. What cannot be carried is left as a comment with the reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from cdc.schema import Column, TableSchema
from transforms.assign import assign
from transforms.declared import declared_column, declared_schema, fits_declared
from transforms.errors import ExpressionError
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.typed import Refusal, Typed
from transforms.types import FLOATS, INTEGERS, Kind, field_type

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Plain in YAML 1.1 they would mean something else to other readers of the file."""

_CARRIED = {
    "json": "json",
    "jsonb": "json",
    "bytea": "bytes",
    "time without time zone": "time",
}


@dataclass(frozen=True, slots=True)
class _Field:
    column: Column
    type: str
    expression: str | None
    note: str


def entity_name(schema: TableSchema) -> str:
    """The table's name in the letters that names of entities and files have."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", schema.table.name).strip("-") or "entity"


def entity_stub(schema: TableSchema) -> str:
    """The text of ``entities/<name>.yml``."""
    fields = [_field(schema, column) for column in schema.columns]
    lines = [
        f"# What a row of {schema.table} is in the words of the business. Rename fields, drop what",
        "# nobody needs, and name who answers for it.",
        f"entity: {_scalar(entity_name(schema))}",
        "# steward: sales-operations",
        f"key: [{', '.join(_scalar(name) for name in schema.key)}]",
        "fields:",
    ]
    for field in fields:
        needed = "" if field.column.nullable and field.column.name not in schema.key else _REQUIRED
        text = f"{_scalar(field.column.name)}: {{type: {_type(field.type)}{needed}}}"
        if field.expression is None:
            lines.append(f"  # {text}  # {field.note}")
        else:
            lines.append(f"  {text}")
    return "\n".join(lines) + "\n"


_REQUIRED = ", required: true"


def mapping_stub(schema: TableSchema, name: str) -> str:
    """The text of ``mappings/<name>.yml``."""
    fields = [_field(schema, column) for column in schema.columns]
    keys = [field for field in fields if field.column.name in schema.key]
    others = [field for field in fields if field.column.name not in schema.key]
    lines = [
        f"# How rows of {schema.table} become the entity, in scalar SQL of PostgreSQL.",
        f"mapping: {_scalar(name)}",
        f"entity: {_scalar(entity_name(schema))}",
        f"table: {_scalar(str(schema.table))}",
        "dialect: postgres",
        "key:",
        *map(_line, keys),
        "fields:" if others else "fields: {}",
        *map(_line, others),
        *_examples(others),
        '# where: "mandant = 1"                  # rows outside are filtered',
        "on_delete: delete                      # delete | ignore | set_null | {soft: column}",
        "# The source's columns: they check the mapping, and run `examples`, without a database.",
        *_declarations(schema, fields),
    ]
    return "\n".join(lines) + "\n"


def _declarations(schema: TableSchema, fields: list[_Field]) -> list[str]:
    """`columns`; in a comment where one that a field reads cannot be declared."""
    lines = [_declared(schema, column) for column in schema.columns]
    read = [line for line, field in zip(lines, fields, strict=True) if field.expression is not None]
    if any(line.startswith("  #") for line in read):
        return ["# columns:", *(f"# {line.replace('# ', '', 1)}" for line in lines)]
    return ["columns:", *lines]


def _declared(schema: TableSchema, column: Column) -> str:
    """A column as `columns` spell it, or the same in a comment where that would say another."""
    rest = "" if column.nullable else " not null"
    written = column.type + (" primary key" if column.name in schema.key else rest)
    try:
        ours = declared_column(written)
    except ValueError:
        ours = declared_column("text")
    alone = declared_schema(schema.table, {column.name: ours})
    known = column.name not in fits_declared(schema, alone)
    return f"  {'' if known else '# '}{_scalar(column.name)}: {_type(written)}"


def _line(field: _Field) -> str:
    text = f"{_scalar(field.column.name)}: {_scalar(field.expression or 'null')}"
    shown = f"  {text}" if field.expression is not None else f"  # {text}"
    return f"{shown}  # {field.note}" if field.note else shown


def _examples(fields: list[_Field]) -> list[str]:
    """Comments that show what else a field can be."""
    if not fields:
        return []
    name = _scalar(fields[0].expression or fields[0].column.name)
    return [
        f"  # a code:      {{from: {name}, values: {{A: active}}, otherwise: exception}}",
        "  # a constant:  {value: EUR}",
        f"  # a default:   {{expr: {name}, default: unknown}}",
    ]


def _field(schema: TableSchema, column: Column) -> _Field:
    columns = source_columns(schema)
    typed = columns[column.name]
    written = _reference(column.name, columns)
    type_ = _canonical(typed)
    note = "" if typed.kind is not Kind.BPCHAR else f"{column.type}, without its trailing blanks"
    try:
        assign(typed, field_type(type_))
    except Refusal as refusal:
        return _Field(column, type_, None, f"{column.type}: {refusal.what}")
    if type_ == "text" and typed.kind is Kind.OTHER:
        note = f"{column.type}, as text"
    return _Field(column, type_, written, note)


def _reference(name: str, columns: dict[str, Typed]) -> str:
    """The column in an expression: bare where that reads as the column, else in double quotes."""
    try:
        found = translate(name, Place("stub", ()), columns)
    except ExpressionError:
        found = None
    return name if found is not None and found.typed.column == name else f'"{name}"'


def _canonical(value: Typed) -> str:
    """The field type that loses nothing of a column's type."""
    kind = value.kind
    if kind in INTEGERS:
        return "smallint" if kind is Kind.INT2 else "integer"
    if kind is Kind.NUMERIC:
        precision, scale = value.type.precision, value.type.scale
        fits = value.type.fixed and (scale or 0) < (precision or 0)
        return f"decimal({precision},{scale})" if fits else "decimal"
    if kind in FLOATS:
        return "double"
    simple = {
        Kind.BOOL: "boolean",
        Kind.DATE: "date",
        Kind.TIMESTAMP: "timestamp",
        Kind.TIMESTAMPTZ: "timestamptz",
        Kind.UUID: "uuid",
    }
    return simple.get(kind) or _CARRIED.get(value.type.name, "text")


def _type(name: str) -> str:
    return f'"{name}"' if "," in name else name


def _scalar(text: str) -> str:
    """A YAML scalar that is read back as this text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
