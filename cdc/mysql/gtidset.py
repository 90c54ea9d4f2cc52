"""MySQL's transaction identities: the events that name one, and sets of them. Pure.

https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Gtid__event.html

    GTID, ANONYMOUS_GTID  flags:u8 uuid:16 number:i64 [2 last_committed:i64 sequence:i64
                          commit:u56 (bit 55: original:u56 follows) length:packed …]
    GTID_TAGGED           version size last_required (field value)*, numbers as `_varying`
    encoded set           count:u64 (uuid:16 [size tag] intervals:u64 (first:u64 behind:u64)*)*
                          with tags, the count is shifted by a byte, and the outer bytes are 1
"""

from __future__ import annotations

import re
import uuid
from bisect import bisect_right
from dataclasses import dataclass

from cdc.mysql.events import Reader
from tailrace.errors import DecodeError

TAGGED = 1 << 56 | 1
_INTERVAL = re.compile(r"(\d+)(?:-(\d+))?")
_TAG_NAME = re.compile(r"[a-z_][a-z0-9_]{0,31}", re.IGNORECASE)
_LOGICAL_CLOCK = 2
_ORIGINAL = 1 << 55

(_FLAGS, _UUID, _NUMBER, _TAG, _LAST_COMMITTED, _SEQUENCE, _COMMIT_US, _ORIGINAL_US) = range(8)


@dataclass(frozen=True, slots=True, order=True)
class MysqlGtid:
    """`source`: a server's UUID, with ``:tag`` behind it where there is one."""

    source: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.source}:{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> MysqlGtid:
        """Errors: ValueError."""
        source, _, sequence = text.rpartition(":")
        return cls(source, int(sequence))


def gtid_event(body: memoryview) -> tuple[MysqlGtid, int]:
    """(identity, commit time in µs since 1970 or 0). Errors: DecodeError.

    The commit time is that of the server where the transaction began, wherever it is read.
    """
    reader = Reader(body)
    reader.take(1)
    source = str(uuid.UUID(bytes=reader.take(16)))
    number = reader.number(8)
    commit_us = 0
    if reader.left >= 18 and reader.number(1) == _LOGICAL_CLOCK:
        reader.take(16)
        if reader.left >= 7:
            commit_us = reader.number(7)
            if commit_us & _ORIGINAL:
                commit_us = reader.number(7)
    return MysqlGtid(source, number), commit_us


def tagged_gtid_event(body: memoryview) -> tuple[MysqlGtid, int]:
    """The same of a GTID_TAGGED event."""
    reader = Reader(body)
    version, _, required = _varying(reader), _varying(reader), _varying(reader)
    if version != 1 or required > _SEQUENCE:
        raise DecodeError("a GTID event of a newer kind")
    found: dict[int, int] = {}
    server, tag = b"", ""
    while reader.left:
        field = _varying(reader)
        if field == _UUID:
            numbers = [_varying(reader) for _ in range(16)]
            if max(numbers) > 255:
                raise DecodeError("a GTID whose UUID is none")
            server = bytes(numbers)
        elif field == _TAG:
            tag = reader.take(_varying(reader)).decode("ascii", "replace")
        elif field <= _ORIGINAL_US:
            found[field] = _varying(reader)
        else:
            break  # what follows is the transaction's length, and versions of servers
    if len(server) != 16 or _NUMBER not in found:
        raise DecodeError("a GTID event without its number")
    source = str(uuid.UUID(bytes=server)) + (f":{tag}" if tag else "")
    commit_us = found.get(_ORIGINAL_US) or found.get(_COMMIT_US, 0)
    return MysqlGtid(source, found[_NUMBER] >> 1), commit_us  # a signed number: sign in bit 0


def _varying(reader: Reader) -> int:
    """A number whose first byte tells by its ones at the end how many bytes follow."""
    first = reader.number(1)
    more = 0
    while more < 8 and first >> more & 1:
        more += 1
    if more == 8:
        return reader.number(8)
    return (reader.number(more) << 8 | first) >> (more + 1)


class GtidSet:
    """As ``gtid_executed`` prints it: ``uuid:1-5:7:tag:1-3,uuid:…``."""

    def __init__(self, text: str = "") -> None:
        """Errors: ValueError."""
        self._of: dict[str, list[list[int]]] = {}  # [first, behind), ascending and apart
        for part in filter(None, (part.strip() for part in text.split(","))):
            server, *rest = (piece.strip() for piece in part.split(":"))
            source = server = str(uuid.UUID(server))
            for piece in rest:
                if (interval := _INTERVAL.fullmatch(piece)) is not None:
                    first = int(interval[1])
                    self._add(source, first, int(interval[2] or first) + 1)
                elif _TAG_NAME.fullmatch(piece):
                    source = f"{server}:{piece.lower()}"
                else:
                    raise ValueError(f"not a set of GTIDs: {text}")

    def holds(self, gtid: MysqlGtid) -> bool:
        intervals = self._of.get(gtid.source, [])
        at = bisect_right(intervals, gtid.sequence, key=lambda interval: interval[0]) - 1
        return at >= 0 and gtid.sequence < intervals[at][1]

    def advance(self, gtid: MysqlGtid) -> None:
        self._add(gtid.source, gtid.sequence, gtid.sequence + 1)

    def _add(self, source: str, first: int, behind: int) -> None:
        intervals = self._of.setdefault(source, [])
        if intervals and intervals[-1][1] == first:  # nearly always
            intervals[-1][1] = behind
            return
        intervals.append([first, behind])
        intervals.sort()
        merged = [intervals[0]]
        for interval in intervals[1:]:
            if interval[0] <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], interval[1])
            else:
                merged.append(interval)
        self._of[source] = merged

    def without(self, other: GtidSet) -> GtidSet:
        """What is here and not there."""
        found = GtidSet()
        for source, intervals in self._of.items():
            there = other._of.get(source, [])
            for first, behind in intervals:
                for taken, up_to in there:
                    if up_to <= first or taken >= behind:
                        continue
                    if taken > first:
                        found._add(source, first, taken)
                    first = up_to
                if first < behind:
                    found._add(source, first, behind)
        return found

    def encoded(self) -> bytes:
        """As a request for the log has it."""
        sources = sorted(self._of)
        has_tags = any(":" in source for source in sources)
        count = len(sources) << 8 | TAGGED if has_tags else len(sources)
        parts = [count.to_bytes(8, "little")]
        for source in sources:
            server, _, tag = source.partition(":")
            parts.append(uuid.UUID(server).bytes)
            if has_tags:  # a tag has at most 32 characters, so its length is a single byte
                parts += [bytes([len(tag) << 1]), tag.encode("ascii")]
            intervals = self._of[source]
            parts.append(len(intervals).to_bytes(8, "little"))
            parts += [number.to_bytes(8, "little") for pair in intervals for number in pair]
        return b"".join(parts)

    def __bool__(self) -> bool:
        return bool(self._of)

    def __str__(self) -> str:
        return ",".join(
            ":".join([source, *(_printed(*interval) for interval in self._of[source])])
            for source in sorted(self._of)
        )


def _printed(first: int, behind: int) -> str:
    return str(first) if behind == first + 1 else f"{first}-{behind - 1}"
