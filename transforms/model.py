"""What operators declare: mappings, and tables that are replicated as they are."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from cdc.patterns import Patterns
from cdc.schema import TableName, TableSchema
from transforms.declared import declared_schema
from transforms.errors import Loc
from transforms.examples import Example
from transforms.fallback import FORM, Fallback, fallback_of
from transforms.lookups.declared import Alias, Lookup, SourceColumn
from transforms.words import (
    NULL,
    Existing,
    Identifier,
    PlainName,
    Strict,
    identifier,
    table_name,
    target_name,
)


def _patterns(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not Patterns.parse(texts).included:
        raise ValueError("every pattern excludes tables; name some to include")
    return texts


def _template(text: str) -> str:
    rest = text.replace("{schema}", "s").replace("{table}", "t")
    if "{" in rest or "}" in rest:
        raise ValueError("only {schema} and {table} are filled in")
    return target_name(rest) and text


def _value(text: str) -> str | None:
    return None if text == NULL else text


CODES_MAX = 10_000
"""What has more is no table of codes, and would be slow to check."""


class FieldRule(Strict):
    """How one field of an entity gets its value. Exactly one of `expr`, `source`, `value`, `ref`.

    `expr` with an optional `default` in place of NULL; `source` (written ``from``) with `values`,
    a map from what the expression gives to what the field gets (in the file also the name of a
    code table, which config reads); `value`, a constant; `ref`, the entity whose key it takes,
    with `by`, what identifies its source row: one expression, or one for each column.
    """

    expr: str | None = None
    default: str | None = None
    source: str | None = Field(default=None, alias="from")
    values: Annotated[
        dict[str, str] | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "string"}},
                    {"type": "string", "pattern": r"\.(csv|ya?ml)$"},
                ]
            }
        ),
    ] = None
    otherwise: Annotated[Fallback | None, PlainValidator(fallback_of("otherwise")), FORM] = None
    value: str | None = None
    ref: PlainName | None = None
    by: str | Annotated[dict[Identifier, str], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _expression_alone(cls, data: object) -> object:
        return {"expr": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = (self.expr, self.source, self.value, self.ref)
        if sum(form is not None for form in forms) != 1:
            raise ValueError(
                "write an expression, {expr: …}, {from: …, values: …}, {value: …} or"
                " {ref: …, by: …}"
            )
        if (self.ref is None) != (self.by is None):
            raise ValueError("ref and by belong together")
        if (self.source is None) != (self.values is None):
            raise ValueError("from and values belong together")
        if self.otherwise is not None and self.source is None:
            raise ValueError("otherwise belongs to from and values")
        if len(self.values or ()) > CODES_MAX:
            raise ValueError(f"a value map has at most {CODES_MAX} codes")
        if self.default is not None and self.expr is None:
            raise ValueError("default belongs to expr")
        return self

    @property
    def constant(self) -> str | None:
        """The constant's text; None is NULL. Only where `value` was given."""
        return None if self.value is None else _value(self.value)

    @property
    def codes(self) -> dict[str | None, str | None]:
        """`values` with `null` read as NULL on both sides."""
        return {_value(code): _value(text) for code, text in (self.values or {}).items()}

    @property
    def unlisted(self) -> Fallback:
        return self.otherwise or Fallback(action="exception")


class OnDelete(Strict):
    """What happens to the entity when its source row goes. `column`: only with ``soft``."""

    action: Literal["delete", "ignore", "set_null", "soft"]
    column: str | None = None


def _on_delete(value: object) -> OnDelete:
    if isinstance(value, OnDelete):
        return value
    if value in ("delete", "ignore", "set_null"):
        return OnDelete(action=value)
    if isinstance(value, dict) and set(value) == {"soft"} and isinstance(value["soft"], str):
        return OnDelete(action="soft", column=identifier(value["soft"]))
    raise ValueError("write on_delete: delete, ignore, set_null or {soft: column}")


OnDeleteRule = Annotated[
    OnDelete,
    PlainValidator(_on_delete),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["delete", "ignore", "set_null"]},
                {
                    "type": "object",
                    "properties": {"soft": {"type": "string"}},
                    "required": ["soft"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
_DELETE = OnDelete(action="delete")


class Rows(Strict):
    """What one source row becomes: one entity. A mapping has one of these, or a list under rows."""

    name: PlainName
    entity: PlainName
    key: Annotated[dict[Identifier, str], Field(min_length=1)]
    fields: dict[Identifier, FieldRule] = Field(default_factory=dict)
    where: str | None = None
    on_delete: OnDeleteRule = _DELETE
    into: Annotated[str, AfterValidator(target_name)] | None = None

    @property
    def target(self) -> TableName:
        text = self.into or self.entity
        schema, dot, name = text.partition(".")
        return TableName(schema, name) if dot else TableName("public", text)


_SAYS_NOTHING: dict[str, Any] = {
    "columns": True,
    "examples": True,
    "lookups": {"__all__": {"columns"}},
}
"""What a mapping is checked with, and nothing that it does."""
_NO_LOOKUPS = {**_SAYS_NOTHING, "lookups": True}
_NO_REFERENCE = ',"ref":null,"by":null'


LOOKUPS_MAX = 16
"""Each is joined to every row."""


class Mapping(Strict):
    """How the rows of one source table become entities. `dialect` is that of the expressions.

    `lookups` are small tables of the source of which a row stands beside each: ``zb.days``.
    `columns` are those of the source table, as far as the mapping is concerned: with them it is
    checked, and its `examples` are run, without a database.
    """

    mapping: PlainName
    table: Annotated[str, AfterValidator(table_name)]
    dialect: Literal["postgres", "mysql", "oracle", "tsql"] = "postgres"
    existing: Existing = "refuse"
    rows: tuple[Rows, ...] | None = None
    entity: PlainName | None = None
    key: Annotated[dict[Identifier, str], Field(min_length=1)] | None = None
    fields: dict[Identifier, FieldRule] | None = None
    where: str | None = None
    on_delete: OnDeleteRule | None = None
    into: Annotated[str, AfterValidator(target_name)] | None = None
    lookups: Annotated[dict[Alias, Lookup], Field(max_length=LOOKUPS_MAX)] = Field(
        default_factory=dict
    )
    columns: Annotated[dict[Identifier, SourceColumn], Field(min_length=1)] | None = None
    examples: tuple[Example, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_shape(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        alone = {"entity", "key", "fields", "where", "on_delete", "into"} & set(data)
        if "rows" in data and alone:
            raise ValueError(f"with rows, {', '.join(sorted(alone))} belongs inside of them")
        if "rows" not in data:
            missing = [name for name in ("entity", "key") if name not in data]
            if missing:
                raise ValueError(f"a mapping needs {' and '.join(missing)} (or rows)")
        return data

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.rows == ():
            raise ValueError("rows holds nothing")
        names = [rows.name for rows in self.rows or ()]
        if len(set(names)) != len(names):
            raise ValueError("two of the rows have one name")
        return self

    @model_validator(mode="after")
    def _columns_have_a_key(self) -> Self:
        if self.columns is None:
            if self.examples:
                raise ValueError("examples need `columns`: the source table's, with their types")
        elif any(column.unique for column in self.columns.values()):
            raise ValueError("`unique` is of use for the columns of lookups only: leave it out")
        elif not any(column.primary for column in self.columns.values()):
            raise ValueError("no column of `columns` is the key: write id: integer primary key")
        for alias, lookup in self.lookups.items():
            columns = lookup.columns or {}
            if columns and not any(column.primary for column in columns.values()):
                raise ValueError(f"no column of the lookup {alias} is its table's primary key")
        unknown = [alias for alias, lookup in self.lookups.items() if lookup.columns is None]
        if self.examples and unknown:
            raise ValueError(f"examples need `columns` of the lookup {unknown[0]}, too")
        return self

    @property
    def source(self) -> TableName:
        schema, _, name = self.table.partition(".")
        return TableName(schema, name)

    @property
    def declared(self) -> TableSchema | None:
        """The source table as `columns` say it is."""
        return None if self.columns is None else declared_schema(self.source, self.columns)

    @cached_property
    def version(self) -> str:
        """Sixteen hex digits that change when what the mapping does may change, its code tables
        included."""
        silent = _SAYS_NOTHING if self.lookups else _NO_LOOKUPS
        text = self.model_dump_json(exclude=silent, warnings="none")
        text = text.replace(_NO_REFERENCE, "")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def parts(self) -> tuple[tuple[Loc, Rows], ...]:
        """Each of the rows with its path in the document; a mapping without `rows` is one."""
        if self.rows is not None:
            return tuple((("rows", index), rows) for index, rows in enumerate(self.rows))
        assert self.entity is not None
        assert self.key is not None
        alone = Rows(
            name=self.mapping,
            entity=self.entity,
            key=self.key,
            fields=self.fields or {},
            where=self.where,
            on_delete=self.on_delete or _DELETE,
            into=self.into,
        )
        return (((), alone),)


class Replicate(Strict):
    """Tables copied as they are. `tables` are patterns, see `cdc.patterns`; the first rule counts.

    `into` names the target table, with ``{schema}`` and ``{table}`` filled in.
    """

    tables: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_patterns)]
    into: Annotated[str, AfterValidator(_template)] = "{schema}.{table}"
    existing: Existing = "refuse"

    @property
    def patterns(self) -> Patterns:
        return Patterns.parse(self.tables)
