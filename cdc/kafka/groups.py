"""What was fetched of a topic, sorted into messages that are read alike, and read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from cdc.kafka.envelope import undecodable
from cdc.kafka.messages import tables_of
from cdc.kafka.shapes import Shape, Shapes, Unreadable
from cdc.schema import TableName
from tailrace.kafka.records import Fetched

Group = tuple[Shape, list[int], list[bytes]]
"""Messages that are read alike: their indexes in what was fetched, and their payloads."""
Parsed = tuple[pa.Table, list[TableName]]
"""Their rows, and the table of each."""


def parsed_groups(fetched: Fetched, shapes: Shapes) -> Iterator[tuple[Group, Parsed]]:
    """Errors: DecodeError."""
    messages, keys = fetched.values.to_pylist(), fetched.keys.to_pylist()
    groups = _groups(fetched, shapes, messages)
    parsed = [_parsed(group, keys) for group in groups]
    if any(map(_is_other, groups, parsed)) and shapes.was_wrong():
        groups = _groups(fetched, shapes, messages)
        parsed = [_parsed(group, keys) for group in groups]
    for group, found in zip(groups, parsed, strict=True):
        if found is None:
            raise _misfit(fetched, group, keys)
        yield group, found


def parsed_group(fetched: Fetched, group: Group) -> Parsed:
    """Errors: DecodeError."""
    keys = fetched.keys.to_pylist()
    found = _parsed(group, keys)
    if found is None:
        raise _misfit(fetched, group, keys)
    return found


def _groups(fetched: Fetched, shapes: Shapes, messages: Sequence[bytes | None]) -> list[Group]:
    """Errors: DecodeError."""
    groups: dict[int, Group] = {}
    for index, message in enumerate(messages):
        if message is None:
            continue  # a tombstone behind its delete
        try:
            shape, payload = shapes.split(message)
        except Unreadable as error:
            raise undecodable(fetched, index, str(error), error.fix) from None
        group = groups.get(id(shape))
        if group is None:
            group = groups[id(shape)] = (shape, [], [])
        group[1].append(index)
        group[2].append(payload)
    return list(groups.values())


def _parsed(group: Group, keys: Sequence[bytes | None]) -> Parsed | None:
    """None where one of them does not fit."""
    shape, indexes, payloads = group
    try:
        found = shape.parse(payloads, [keys[index] for index in indexes])
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return found, tables_of(found)


def _is_other(group: Group, read: Parsed | None) -> bool:
    """Whether some of it may be of another table than was guessed."""
    table = group[0].declared
    if table is None:
        return False
    return read is None or any(one != table for one in set(read[1]))


def _misfit(fetched: Fetched, group: Group, keys: Sequence[bytes | None]) -> Exception:
    shape, indexes, payloads = group
    each = zip(indexes, payloads, strict=True)
    bad = (index for index, one in each if _parsed((shape, [index], [one]), keys) is None)
    return undecodable(
        fetched,
        next(bad, indexes[0]),
        "messages from here on do not fit the schema they are read by",
        "where they carry none, see that `columns`, `decimals` and `times` say what the"
        " connector does; otherwise report the topic's schema",
    )
