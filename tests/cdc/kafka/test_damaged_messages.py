"""Messages with damage: read or refused, never anything else."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cdc.kafka.decode import Decoder
from tailrace.errors import DecodeError
from tests.cdc.kafka.debezium import Said, fetched, records, settings
from tests.cdc.kafka.test_debezium_decode import POSTGRES
from tests.cdc.kafka.test_mongodb_documents import COLUMNS

PIECES = (
    *(
        b"null",
        b"{}",
        b"[]",
        b'"x"',
        b"1e999",
        b"-1",
        b"true",
        b'"\\ud800"',
        b"NaN",
        b"\0",
        b"\xff",
    ),
    *(b'{"a":' * 50, b'"op":"d"', b'"op":"u"', b"99999999999999999999", b"[" * 5000),
)
WHOLE = (None, b"", b"{}", b"null", b"[]", b'{"schema":null,"payload":null}', b"[" * 100_000)
VALUE = re.compile(rb':("[^"]*"|-?\d+|null|true|false)')
TIMES = 100


def damaged(message: bytes, chance: random.Random) -> bytes | None:
    if chance.random() < 0.1:
        return chance.choice(WHOLE)
    found = bytearray(message)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, how = chance.randrange(len(found)), chance.randrange(4)
        if how == 0:
            found[at] = chance.randrange(256)
        elif how == 1:
            del found[at : at + chance.randrange(1, 20)]
        elif how == 2:
            found[at:at] = chance.choice(PIECES)
        else:
            values = list(VALUE.finditer(bytes(found)))
            if values:
                value = chance.choice(values)
                found[value.start(1) : value.end(1)] = chance.choice(PIECES)
        if not found:
            return b""
    return bytes(found)


def some(of_rows: list[Said], chance: random.Random) -> Iterator[Said]:
    for topic, key, value in chance.sample(of_rows, 4):
        if key is not None and chance.random() < 0.1:
            key = damaged(key, chance)
        if value is not None and chance.random() < 0.4:
            value = damaged(value, chance)
        yield topic, key, value


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("postgres-schemas-precise-adaptive", {}),
        ("postgres-plain-precise-adaptive", {"columns": POSTGRES}),
        ("documents-full", {"updates": "full"}),
        ("documents-bare", {"columns": COLUMNS}),
    ],
)
def test_damaged_messages_are_read_or_refused(name: str, more: dict[str, Any]) -> None:
    chance = random.Random(7)
    of_rows = [one for one in records(name) if one[0].startswith("erp.shop.")]
    refused = 0
    for _ in range(TIMES):
        decoder = Decoder(settings(**more), {}, {})
        given = fetched(list(some(of_rows, chance)))
        try:
            decoder.change_set(given, "{}")
        except DecodeError:
            refused += 1
    assert 0 < refused < TIMES
