"""Which tables are copied as they are, and where to."""

from __future__ import annotations

from collections.abc import Iterable

from cdc.schema import TableName
from transforms.model import Replicate


def rule_for(table: TableName, rules: Iterable[Replicate]) -> Replicate | None:
    """The first rule whose patterns match."""
    return next((rule for rule in rules if rule.patterns.matches(table)), None)


def target_name(table: TableName, rule: Replicate) -> TableName:
    """The table that `table` is copied into. A dot in a name of the source's is part of it."""
    parts = {"schema": table.schema, "table": table.name}
    schema, dot, name = rule.into.partition(".")
    if not dot:
        schema, name = "public", rule.into
    return TableName(schema.format(**parts), name.format(**parts))
