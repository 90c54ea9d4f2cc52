"""How old the newest value of a field may be: a measure of the service, not a demand on rows.

A row is never at fault for it, since a replay has to give the same rows whenever it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, WithJsonSchema

from cdc.schema import TableName
from transforms.words import Identifier, Strict

if TYPE_CHECKING:
    import pyarrow as pa

    from transforms.rows import RowChanges

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_SHAPE = re.compile(r"(\d{1,6})\s*(s|min|h|d)")
AHEAD_S = 300.0
"""Values that lie further in the future are no measure of anything: 9999-12-31 is never old."""


def seconds(text: object) -> int:
    """Errors: ValueError."""
    match = _SHAPE.fullmatch(str(text).strip())
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is no span of time: write 30s, 15min, 1h or 2d")
    return int(match[1]) * UNITS[match[2]]


def in_units(span_s: float) -> tuple[int, str]:
    """In the largest unit that loses nothing: (1, ``h``), (90, ``min``)."""
    whole = round(span_s)
    unit = next((u for u in reversed(UNITS) if whole and whole % UNITS[u] == 0), "s")
    return whole // UNITS[unit], unit


def shown(span_s: float) -> str:
    """As it is written: ``1h``, ``90min``."""
    value, unit = in_units(span_s)
    return f"{value}{unit}"


class Freshness(Strict):
    """`field` of type timestamptz or date; its newest value is no older than `within_s`."""

    field: Identifier
    within: Annotated[
        str,
        BeforeValidator(lambda text: shown(seconds(text))),
        WithJsonSchema({"type": "string", "pattern": rf"^{_SHAPE.pattern}$"}),
    ]

    @property
    def within_s(self) -> int:
        return seconds(self.within)


class Watch:
    """The newest values that a pipeline has written, by entity. `promised`: by the table that it
    writes, the entity and what its contract says."""

    def __init__(self, promised: Mapping[TableName, tuple[str, Freshness]]) -> None:
        self._promised = promised
        self.newest_s: dict[str, float] = {}
        self._open: dict[str, float] = {}

    @property
    def entities(self) -> Iterator[tuple[str, Freshness]]:
        return iter(dict(self._promised.values()).items())

    def saw(self, rows: Sequence[RowChanges], now_s: float) -> None:
        """Rows that are written in the open transaction."""
        for change in rows:
            found = self._promised.get(change.table.table)
            if found is None:
                continue
            entity, freshness = found
            names = [column.name for column in change.table.columns]
            if freshness.field in names:
                newest = newest_of(change.values[names.index(freshness.field)], now_s)
                if newest is not None:
                    self._open[entity] = max(newest, self._open.get(entity, newest))

    def settle(self) -> None:
        """The transaction is durable."""
        for entity, newest_s in self._open.items():
            self.newest_s[entity] = max(newest_s, self.newest_s.get(entity, newest_s))
        self._open.clear()

    def forget(self) -> None:
        """It was given up."""
        self._open.clear()


def newest_of(values: pa.Array, now_s: float) -> float | None:
    """Seconds since 1970 of the newest value that is not ahead of `now_s`, if there is one.

    Values are dates, and timestamps in UTC, as PostgreSQL prints them.
    """
    import pyarrow.compute as pc

    limit = datetime.fromtimestamp(now_s + AHEAD_S, UTC).strftime("%Y-%m-%d %H:%M:%S")
    texts = values.cast("string")
    sane = pc.and_(
        pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?(\+00)?)?$"),
        pc.less_equal(texts, limit),
    )
    newest = pc.max(texts.filter(sane)).as_py()
    if newest is None:
        return None
    return datetime.fromisoformat(newest.removesuffix("+00")).replace(tzinfo=UTC).timestamp()
