"""Rows whose key moves while some of their values are not sent, made whole: what was not sent is
what a change before it has sent, or what the file holds under the key that the row had then.

So they can be written as sets, like all others. One by one they would be, where few rows move again
and again, a statement of some milliseconds each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from sinks.ordered import Values, in_order
from sinks.rowtext import as_text
from transforms.rows import DELETE, UPSERT, RowChanges

Stored = Callable[[Sequence[Values]], dict[Values, Values]]
"""Of keys those that the file holds, with all values of their rows as the codec takes them."""


@dataclass(frozen=True, slots=True)
class _Story:
    """A row until now: the key that it has in the file, and what was sent since, by column."""

    key: Values
    sent: dict[int, str | None]


def whole(change: RowChanges, stored: Stored) -> RowChanges | None:
    """`change` with nothing missing of what moves; None where there was nothing to do, or where it
    cannot be done."""
    stories: dict[Values, _Story | None] = {}
    filled: dict[tuple[int, int], str | None] = {}
    asked: dict[tuple[int, int], Values] = {}
    for place, row in enumerate(in_order([change])):
        story = stories.get(row.key, _Story(row.key, {}))
        if row.op == DELETE or row.moves:
            stories[row.key] = None
        if row.op == DELETE:
            continue
        if row.op != UPSERT or (story is None and row.missing):
            return None
        sent = dict(story.sent) if story else {}
        for i in change.unsent:
            if i not in row.missing:
                sent[i] = row.values[i]
            elif row.moves and i in sent:
                filled[place, i] = sent[i]
            elif row.moves and story:
                asked[place, i] = story.key
        after = tuple(row.values[i] for i in change.table.key_indexes)
        stories[after] = _Story(story.key if story else after, sent)
    if asked:
        found = stored(list(dict.fromkeys(asked.values())))
        if any(key not in found for key in asked.values()):
            return None
        filled |= {(place, i): found[key][i] for (place, i), key in asked.items()}
    return _with(change, filled) if filled else None


def _with(change: RowChanges, filled: dict[tuple[int, int], str | None]) -> RowChanges:
    values = list(change.values)
    unsent = dict(change.unsent)
    for i in change.unsent:
        texts, flags = as_text(values[i]).to_pylist(), unsent[i].to_pylist()
        for place in (place for place, column in filled if column == i):
            texts[place], flags[place] = filled[place, i], False
        values[i], unsent[i] = pa.array(texts, pa.string()), pa.array(flags)
    return replace(change, values=tuple(values), unsent=unsent)
