"""Mapping + entity + source schema → Program, or everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from sqlglot import exp

from cdc.schema import TableSchema
from transforms.assign import Assigned, assign, constant_sql
from transforms.checks import Checks, rule_loc
from transforms.code_forms import code_form
from transforms.contract import contract_of
from transforms.entity import Entity, EntityField, entity_columns
from transforms.errors import ExpressionError, Loc, MappingError
from transforms.expressions.sql import checked
from transforms.expressions.translate import (
    Expression,
    Place,
    conjuncts,
    source_columns,
    translate,
)
from transforms.expressions.typed import Refusal, Typed, as_text, text
from transforms.keys import Recovered, recover
from transforms.lookups.compile import Joined, Schemas, comparable, join
from transforms.model import FieldRule, Rows
from transforms.model import Mapping as MappingModel
from transforms.program import Codes, Output, Program
from transforms.references import Parent, Reference, Unfit, given, parent_of
from transforms.rows import TargetTable
from transforms.types import FieldType
from transforms.words import NULL, Existing


def target_table(
    rows: Rows, entity: Entity, existing: Existing, fields: Collection[str]
) -> TargetTable:
    """The entity's table, as far as `fields` go."""
    unique = tuple(names for names in entity.unique_together if set(names) <= set(fields))
    return TargetTable(rows.target, entity_columns(entity, fields), entity.key, existing, unique)


def compile_mapping(
    mapping: MappingModel,
    entities: Mapping[str, Entity],
    schema: TableSchema,
    schemas: Schemas = MappingProxyType({}),
    others: Sequence[MappingModel] = (),
) -> tuple[list[Program], list[MappingError]]:
    """The programs of a mapping's rows, faultless ones only, and everything that is wrong.

    `schemas`: what is known of other tables, which it looks up or which become what it refers to,
    beyond what mappings declare. `others`: the mappings of its pipeline.
    """
    every = [mapping, *(other for other in others if other.mapping != mapping.mapping)]
    programs: list[Program] = []
    joined, errors = join(mapping, schema, schemas)
    if errors:
        return programs, errors
    for prefix, rows in mapping.parts:
        compiler = _Compiler(mapping, prefix, rows, schema, joined, every, schemas)
        program = compiler.run(entities)
        errors += compiler.errors
        if program is not None and not compiler.errors:
            programs.append(program)
    return programs, errors


@dataclass(frozen=True, slots=True)
class _Where:
    sql: str | None = None
    reads: frozenset[str] = frozenset()
    mine: str | None = None
    rest: bool = False
    fixed: frozenset[str] = frozenset()


class _Compiler(Checks):
    """Compiles one of a mapping's rows."""

    def __init__(
        self,
        mapping: MappingModel,
        prefix: Loc,
        rows: Rows,
        schema: TableSchema,
        joined: Joined,
        every: Sequence[MappingModel],
        schemas: Schemas,
    ) -> None:
        super().__init__(mapping, prefix, rows)
        self.schema = schema
        self.joined = joined
        self.columns = {**source_columns(schema, mapping.dialect), **joined.columns}
        self.positions = {column.name: at for at, column in enumerate(schema.columns)}
        self.positions |= joined.positions
        self.read: set[str] = set()
        self.every = every
        self.schemas = schemas
        self.entities: Mapping[str, Entity] = {}
        self.refs: list[tuple[int, Reference]] = []
        self.parents: list[TargetTable] = []

    def run(self, entities: Mapping[str, Entity]) -> Program | None:
        entity = self.entity(entities)
        if entity is None:
            return None
        self.fields_of(entity)
        if not self.schema.key:
            self.error(
                f"{self.schema.table} has no replica identity that tells its rows apart",
                ("key",),
                "give it a primary key",
            )
        if self.errors:
            return None
        self.entities = entities
        where = self._where()
        keys = self._keys(entity, where)
        fields = [self._field(name, rule, entity) for name, rule in self.rows.fields.items()]
        if self.errors:
            return None
        return self._program(entity, where, keys, [field for field in fields if field])

    def _program(
        self, entity: Entity, where: _Where, keys: list[Output], fields: list[Output]
    ) -> Program:
        names = self._delivered(entity)
        soft = self.rows.on_delete.column
        alone = self.mapping.rows is None
        return Program(
            name=self.mapping.mapping if alone else f"{self.mapping.mapping}/{self.rows.name}",
            schema=self.schema,
            target=replace(
                target_table(self.rows, entity, self.mapping.existing, names), refs=tuple(self.refs)
            ),
            entity=target_table(self.rows, entity, self.mapping.existing, entity.fields),
            keys=tuple(keys),
            fields=tuple(fields),
            where=where.sql,
            where_reads=self._at(where.reads),
            mine=where.mine,
            rest=where.rest,
            on_delete=self.rows.on_delete,
            soft=None if soft is None else names.index(soft),
            identity=self.schema.key_indexes,
            contract=contract_of(entity)[0],
            lookups=self.joined.used(frozenset(self.read)),
            parents=tuple(self.parents),
            admits=self._admits(),
        )

    def _admits(self) -> str:
        rows = self.rows
        if rows.on_delete.action != "delete":
            return ""
        said = repr((self.mapping.source, sorted(rows.key.items()), rows.where))
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def _delivered(self, entity: Entity) -> list[str]:
        """The fields this mapping writes, in the entity's order."""
        written = {*self.rows.key, *self.rows.fields, self.rows.on_delete.column}
        return [name for name in entity.fields if name in written]

    def _at(self, names: frozenset[str]) -> tuple[int, ...]:
        return tuple(sorted(self.positions[name] for name in names))

    def _expression(self, written: str, loc: Loc) -> Expression | None:
        try:
            mapping = self.mapping
            place = Place(
                mapping.mapping, self.prefix + loc, mapping.dialect, lookups=mapping.lookups
            )
            found = translate(written, place, self.columns)
            self.read |= found.typed.reads
            return found
        except ExpressionError as error:
            self.errors.append(error)
            return None

    def _try(self, expression: Expression, build: Callable[[], Assigned]) -> Assigned | None:
        """`build()`, whose Refusal is an error about the whole expression."""
        try:
            return build()
        except Refusal as refusal:
            self.errors.append(expression.refuse(refusal.what, fix=refusal.fix))
            return None

    def _where(self) -> _Where:
        if self.rows.where is None:
            return _Where()
        expression = self._expression(self.rows.where, ("where",))
        if expression is None:
            return _Where()
        try:
            found = conjuncts(expression, self.columns)
        except ExpressionError as error:
            self.errors.append(error)
            return _Where()
        identity = frozenset(self.schema.key)
        mine = [typed for _, typed in found if typed.reads <= identity]
        return _Where(
            sql=_all_of([typed for _, typed in found]),
            reads=expression.typed.reads,
            mine=_all_of(mine) if mine else None,
            rest=len(mine) < len(found),
            fixed=frozenset(filter(None, (fixed_column(node) for node, _ in found))) & identity,
        )

    def _keys(self, entity: Entity, where: _Where) -> list[Output]:
        outputs: list[Output] = []
        recovered: list[tuple[Expression, Assigned, Recovered]] = []
        for name in entity.key:
            expression = self._expression(self.rows.key[name], ("key", name))
            if expression is None:
                continue
            value = expression.typed
            field = entity.fields[name]
            assigned = self._try(expression, partial(assign, value, field.type))
            if assigned is None or not self._key_is_known(expression, assigned):
                continue
            found = recover(assigned.parts) if assigned.parts else Recovered(frozenset())
            recovered.append((expression, assigned, found))
            sql = assigned.sql
            if found.conditions:
                sql = checked(" OR ".join(found.conditions), "separator", sql)
            at = self._delivered(entity).index(name)
            outputs.append(self._output(at, name, ("key", name), sql, assigned, field))
        if not self.errors:
            self._one_to_one(recovered, where)
        return outputs

    def _key_is_known(self, expression: Expression, assigned: Assigned) -> bool:
        foreign = sorted(assigned.reads - set(self.schema.key))
        if foreign:
            identity = ", ".join(self.schema.key)
            self.errors.append(
                expression.refuse(
                    f"a key reads only the replica identity ({identity}), since of a deleted row"
                    f" the log carries nothing else; it reads {', '.join(foreign)}",
                    fix=f"make {', '.join(foreign)} part of what identifies a row: the primary key,"
                    " or in PostgreSQL a unique index on NOT NULL columns that is the table's"
                    f" (ALTER TABLE {self.schema.table} REPLICA IDENTITY USING INDEX …)",
                )
            )
        elif assigned.nullable:
            self.errors.append(
                expression.refuse("the key can be NULL", fix="use the columns themselves")
            )
        else:
            return True
        return False

    def _one_to_one(
        self, keys: list[tuple[Expression, Assigned, Recovered]], where: _Where
    ) -> None:
        covered = frozenset().union(*(found.columns for _, _, found in keys)) | where.fixed
        missing = [name for name in self.schema.key if name not in covered]
        if not missing:
            return
        shown = ", ".join(missing)
        for expression, assigned, found in keys:
            if assigned.reads & set(missing):
                why = found.problem or f"{assigned.blur or 'the expression'} loses what differs"
                self.errors.append(
                    expression.refuse(
                        f"two source rows could share this key: {why}",
                        fix="use the columns of the replica identity with casts, constants and"
                        " separators only, or one field of the key for each",
                    )
                )
                return
        self.error(
            f"two source rows could share a key: {shown} of the replica identity is not in it",
            ("key",),
            f"add it to the key, or fix it: where: \"{missing[0]} = '…'\"",
        )

    def _field(self, name: str, rule: FieldRule, entity: Entity) -> Output | None:
        field = entity.fields[name]
        at = self._delivered(entity).index(name)
        if rule.expr is not None:
            return self._computed(at, name, rule, field)
        if rule.source is not None:
            return self._looked_up(at, name, rule, field)
        if rule.ref is not None:
            return self._referred(at, name, rule, field)
        sql = self._constant(rule.constant, field.type, ("fields", name, "value"))
        if sql is None:
            return None
        required = field.required and rule.constant is None
        return Output(at, name, (*self.prefix, "fields", name), sql, (), required=required)

    def _computed(self, at: int, name: str, rule: FieldRule, field: EntityField) -> Output | None:
        loc = rule_loc(name, rule)
        expression = self._expression(rule.expr or "", loc)
        if expression is None:
            return None
        assigned = self._try(expression, lambda: assign(expression.typed, field.type))
        if assigned is None:
            return None
        if rule.default is None:
            return self._output(at, name, loc, assigned.sql, assigned, field)
        written = None if rule.default == "null" else rule.default
        default = self._constant(written, field.type, ("fields", name, "default"))
        sql = f"coalesce({assigned.sql}, {default})"
        filled = Assigned(sql, assigned.reads, nullable=False)
        return None if default is None else self._output(at, name, loc, sql, filled, field)

    def _looked_up(self, at: int, name: str, rule: FieldRule, field: EntityField) -> Output | None:
        loc: Loc = ("fields", name, "from")
        expression = self._expression(rule.source or "", loc)
        if expression is None:
            return None
        code = self._try(expression, lambda: _code(expression.typed))
        codes = self._codes(name, rule, field.type)
        if code is None or codes is None:
            return None
        self._can_come(name, rule, expression.typed)
        output = self._output(at, name, loc, code.sql, code, field)
        return Output(
            at, name, output.loc, output.sql, output.reads, output.column, field.required, codes
        )

    def _referred(self, at: int, name: str, rule: FieldRule, field: EntityField) -> Output | None:
        """The parent's key, made of what the child says of it."""
        loc: Loc = ("fields", name, "by")
        try:
            parent = parent_of(rule, field, self.entities, self.every)
            by = given(rule, parent)
        except Unfit as unfit:
            self.error(unfit.what, ("fields", name, unfit.part), unfit.fix)
            return None
        found: dict[str, Typed] = {}
        for column, written in by.items():
            place = loc if isinstance(rule.by, str) else (*loc, column)
            expression = self._expression(written, place)
            if expression is None:
                return None
            found[column] = expression.typed
            self._like_the_parents(parent, column, expression)
        try:
            key = parent.key_of(found)
            assigned = assign(key.typed, field.type)
        except (ExpressionError, Refusal) as error:
            what = f"the key of {rule.ref} cannot be made of it: {error.what}"
            self.error(what, loc, "cast it to the type of the parent's column")
            return None
        sql = assigned.sql
        if assigned.parts and (conditions := recover(assigned.parts).conditions):
            sql = checked(" OR ".join(conditions), "separator", sql)
        table, type_ = parent.rows.target, field.type.postgres
        reference = Reference(
            self.mapping.mapping, name, parent.entity.entity, table, parent.key, type_
        )
        self.refs.append((at, reference))
        there = parent.mapping.existing
        self.parents.append(target_table(parent.rows, parent.entity, there, parent.entity.fields))
        return self._output(at, name, loc, sql, assigned, field)

    def _like_the_parents(self, parent: Parent, column: str, by: Expression) -> None:
        """Where both types are known: equal values have to have one text."""
        schema = self.schemas.get(parent.mapping.source) or parent.mapping.declared
        theirs = None if schema is None else source_columns(schema).get(column)
        if theirs is not None and not comparable(theirs.type, by.typed.type):
            self.errors.append(
                by.refuse(
                    f"{parent.mapping.table}.{column} is {theirs.type}, and this {by.typed.type}",
                    fix="cast it to the type of that column",
                )
            )

    def _can_come(self, name: str, rule: FieldRule, value: Typed) -> None:
        """A code that no value has the text of is a mistake: it would never be looked up."""
        form = code_form(value.type)
        if form is None:
            return
        for code in rule.values or ():
            if code != NULL and not form.pattern.fullmatch(code):
                self.error(
                    f"the code {code!r} never comes: {form.says}",
                    ("fields", name, "values", code),
                    "write the code as that text has it, or cast the expression: x::text",
                )

    def _codes(self, name: str, rule: FieldRule, field: FieldType) -> Codes | None:
        listed: list[tuple[str, str]] = []
        null: str | None = None
        has_null = False
        failed = len(self.errors)
        for code, value in rule.codes.items():
            loc: Loc = ("fields", name, "values", NULL if code is None else code)
            sql = self._constant(value, field, loc) or ""
            if code is None:
                null, has_null = sql, True
            else:
                listed.append((code, sql))
        other: str | None = None
        if rule.unlisted.action == "value":
            other = self._constant(rule.unlisted.value, field, ("fields", name, "otherwise"))
        if len(self.errors) > failed:
            return None
        return Codes(tuple(listed), null if has_null else other, other)

    def _constant(self, written: str | None, field: FieldType, loc: Loc) -> str | None:
        try:
            return constant_sql(written, field)
        except Refusal as refusal:
            self.error(refusal.what, loc, refusal.fix)
            return None

    def _output(
        self, at: int, name: str, loc: Loc, sql: str, assigned: Assigned, field: EntityField
    ) -> Output:
        column = None if assigned.column is None else self.positions[assigned.column]
        if sql != assigned.sql:
            column = None
        return Output(
            at,
            name,
            self.prefix + loc,
            sql,
            self._at(assigned.reads),
            column,
            field.required and assigned.nullable,
            number=assigned.number if sql == assigned.sql else None,
        )


def _code(value: Typed) -> Assigned:
    """What a value map looks up: the value's text."""
    string = as_text(value)
    sql = string.printed if string.column is not None and string.printed else text(string)
    return Assigned(sql, string.reads, string.column, string.nullable)


def _all_of(conditions: Sequence[Typed]) -> str:
    """All of them, in order: what can fail runs only where those before it are true."""
    sql = ""
    for condition in reversed(conditions):
        mine = condition.value
        if not sql:
            sql, fails = mine, condition.fails
        elif fails:
            sql = f"CASE WHEN {mine} THEN {sql} ELSE false END"
        else:
            sql, fails = f"({mine} AND {sql})", condition.fails
    return sql


def key_recovers(mapping: MappingModel, rows: Rows, schema: TableSchema) -> bool:
    """Whether the key alone, without `where`, tells the rows of the source table apart."""
    columns = source_columns(schema, mapping.dialect)
    covered: frozenset[str] = frozenset()
    for field, written in rows.key.items():
        try:
            place = Place(mapping.mapping, ("key", field), mapping.dialect)
            typed = translate(written, place, columns).typed
        except ExpressionError:
            return False
        covered |= recover(typed.parts or ()).columns
    return covered >= set(schema.key)


def fixed_column(node: exp.Expr) -> str | None:
    """The column of a condition ``column = constant``."""
    if not isinstance(node, exp.EQ):
        return None
    sides = (node.this, node.expression)
    for column, constant in (sides, sides[::-1]):
        bare = constant.this if isinstance(constant, exp.Neg) else constant
        if isinstance(column, exp.Column) and isinstance(bare, exp.Literal | exp.Boolean):
            return column.name
    return None
