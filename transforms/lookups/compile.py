"""A declared lookup + the schemas of both tables → what its columns are, and how it is joined.

A row finds at most one line: `on` holds each column of the table's key equal to an expression, or
one that is declared unique; should two lines have its value after all, rows with it fail. Both
sides are compared as texts, so only types are joined of which each value has one text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from cdc.schema import TableName, TableSchema
from transforms.declared import printed
from transforms.errors import ExpressionError, Loc, MappingError
from transforms.expressions.translate import (
    Expression,
    Place,
    conjuncts,
    equality,
    source_columns,
    translate,
)
from transforms.expressions.typed import Refusal, Typed, as_text, text
from transforms.lookups.declared import Lookup
from transforms.lookups.program import LookupProgram
from transforms.model import Mapping as MappingModel
from transforms.program import Output
from transforms.types import INTEGERS, STRINGS, TEXT, Kind, Type
from transforms.words import NULL

Schemas = Mapping[TableName, TableSchema]
_ONE_TEXT = frozenset({Kind.DATE, Kind.UUID, Kind.BOOL, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})


@dataclass(frozen=True)
class Joined:
    """The lookups of a mapping: what its expressions may read of them, by name and position."""

    columns: Mapping[str, Typed]
    positions: Mapping[str, int]
    programs: tuple[LookupProgram, ...]

    def used(self, reads: frozenset[str]) -> tuple[LookupProgram, ...]:
        """Those of which the mapping reads something, with the columns it reads."""
        found = []
        for program in self.programs:
            names = [f"{program.alias}.{column.name}" for column in program.schema.columns]
            read = tuple(at for at, name in enumerate(names) if name in reads)
            if read:
                found.append(replace(program, columns=read))
        return tuple(found)


def join(
    mapping: MappingModel, schema: TableSchema, schemas: Schemas
) -> tuple[Joined, list[MappingError]]:
    """`schemas`: those that are known of the looked up tables; a lookup without one is as its
    `columns` say, or an error."""
    errors: list[MappingError] = []
    columns: dict[str, Typed] = {}
    positions: dict[str, int] = {}
    programs = []
    first = len(schema.columns)
    for alias, lookup in mapping.lookups.items():
        theirs = schemas.get(lookup.source) or lookup.declared
        if theirs is None:
            what = f"the columns of {lookup.table} are not known here"
            fix = "declare them under `columns` of the lookup, or use tailrace check"
            loc: Loc = ("lookups", alias, "table")
            errors.append(MappingError(what, mapping=mapping.mapping, loc=loc, fix=fix))
            continue
        try:
            programs.append(_Join(mapping, alias, lookup, schema, theirs, first).program())
        except MappingError as error:
            errors.append(error)
        columns |= source_columns(theirs, mapping.dialect, lookup=alias, first=first)
        names = (f"{alias}.{column.name}" for column in theirs.columns)
        positions |= {name: at for at, name in enumerate(names, first)}
        first += len(theirs.columns)
    return Joined(columns, positions, tuple(programs)), errors


class _Join:
    def __init__(
        self,
        mapping: MappingModel,
        alias: str,
        lookup: Lookup,
        schema: TableSchema,
        theirs: TableSchema,
        first: int,
    ) -> None:
        self._mapping = mapping
        self._alias = alias
        self._lookup = lookup
        self._schema = schema
        self._theirs = theirs
        self._first = first
        self._own = source_columns(schema, mapping.dialect)
        self._line = source_columns(theirs, mapping.dialect)  # of the table by itself

    def program(self) -> LookupProgram:
        """Errors: MappingError."""
        if not self._theirs.key:
            raise self._error(
                f"{self._theirs.table} has no key, so a row could find several lines",
                "give it a primary key",
                "table",
            )
        written = self._lookup.on
        place = Place(
            self._mapping.mapping,
            ("lookups", self._alias, "on"),
            self._mapping.dialect,
            lookups=(self._alias,),
        )
        dialect = self._mapping.dialect
        known = {**self._own, **source_columns(self._theirs, dialect, lookup=self._alias)}
        on = translate(written, place, known)
        codes: list[Output] = []
        keys: list[Output] = []
        seen: set[str] = set()
        for node, _ in conjuncts(on, known):
            sides = equality(node, on, known)
            if sides is None:
                raise self._shape(on)
            name, code = self._sides((node.this, node.expression), sides, on)
            seen.add(name)
            keys.append(self._output(self._line[name], self._theirs, on))
            codes.append(self._output(code, self._schema, on))
            if not comparable(self._line[name].type, _type(code)):
                raise on.refuse(
                    f"{self._alias}.{name} and what it equals are of types that are not compared"
                    " by their text",
                    fix="cast what stands beside it to the column's type",
                )
        lacking = [column for column in self._theirs.key if column not in seen]
        declared = self._lookup.columns or {}
        unique = {name for name, column in declared.items() if column.unique}
        if lacking and not unique & seen:
            raise on.refuse(
                f"a row could find several lines of {self._theirs.table}: its key has"
                f" {', '.join(lacking)}, too",
                fix=f"… AND {self._alias}.{lacking[0]} = …; or, where a unique index is on what you"
                " compare, say so under `columns` of the lookup: varchar(9) unique",
            )
        self._check_missing()
        every = tuple(range(len(self._theirs.columns)))
        return LookupProgram(
            self._alias,
            self._theirs,
            tuple(codes),
            tuple(keys),
            self._first,
            every,
            self._lookup.missing,
        )

    def _sides(
        self, nodes: tuple[exp.Expr, exp.Expr], sides: tuple[Typed, Typed], on: Expression
    ) -> tuple[str, Typed]:
        """The table's column, and what it equals."""
        mine = f"{self._alias}."
        for node, code in zip(nodes, sides[::-1], strict=True):
            column = _column(node)
            if column is None or not column.startswith(mine):
                continue
            if not any(name.startswith(mine) for name in code.reads):
                return column.removeprefix(mine), code
        raise self._shape(on)

    def _shape(self, on: Expression) -> ExpressionError:
        key = self._theirs.key[0]
        return on.refuse(
            "`on` holds columns of the lookup equal to expressions of the row, joined by AND",
            fix=f"{self._alias}.{key} = …",
        )

    def _output(self, value: Typed, schema: TableSchema, on: Expression) -> Output:
        """Its text, as value maps look one up; of a moment not as printed, since MySQL prints as
        many digits as the column has."""
        if value.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
            value = replace(value, column=None, printed=None)
        try:
            string = as_text(value)
            sql = string.printed if string.column and string.printed else text(string)
        except Refusal as refusal:
            raise on.refuse(refusal.what, fix=refusal.fix) from None
        positions = {column.name: at for at, column in enumerate(schema.columns)}
        column = None if string.column is None else positions.get(string.column)
        reads = tuple(sorted(positions[name] for name in value.reads))
        return Output(0, self._alias, on.place.loc, sql, reads, column)

    def _check_missing(self) -> None:
        value = self._lookup.missing.value
        if value is None or value == NULL:
            return
        used = [column for column in self._theirs.columns if column.name not in self._theirs.key]
        for column in used:
            try:
                printed(column, value)
            except ValueError:
                continue
            return
        raise self._error(f"{value!r} fits no column of {self._theirs.table}", None, "missing")

    def _error(self, what: str, fix: str | None, part: str) -> MappingError:
        loc: Loc = ("lookups", self._alias, part)
        return MappingError(what, mapping=self._mapping.mapping, loc=loc, fix=fix)


def _column(node: exp.Expr) -> str | None:
    """The column that it is, perhaps with the collation that says it is compared exactly."""
    if isinstance(node, exp.Anonymous) and node.this == "collate":
        node = node.expressions[0]
    return node.name if isinstance(node, exp.Column) else None


def _type(code: Typed) -> Type:
    """A quoted literal is a text here."""
    return TEXT if code.kind is Kind.LITERAL and not code.is_null else code.type


def comparable(one: Type, other: Type) -> bool:
    """Whether equal values have one text."""
    if one.kind in STRINGS or other.kind in STRINGS:
        return one.kind in STRINGS and other.kind in STRINGS
    if _whole(one) and _whole(other):
        return True
    if one.kind is Kind.NUMERIC and other.kind is Kind.NUMERIC:
        return one.fixed and other.fixed and one.scale == other.scale
    return one.kind is other.kind and one.kind in _ONE_TEXT


def _whole(type_: Type) -> bool:
    return type_.kind in INTEGERS or (
        type_.kind is Kind.NUMERIC and type_.fixed and type_.scale == 0
    )
