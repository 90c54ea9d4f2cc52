"""Whether topics still hold what is to be read next of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cdc.protocol import START_OVER
from tailrace.errors import ContinuityError
from tailrace.kafka.protocol import Partition, Topic

GAP = (
    "have Debezium send its snapshot again, let the topic keep more (retention.ms, or"
    f" cleanup.policy=compact), and {START_OVER}"
)


def verify_topics(
    offsets: Mapping[Partition, int], topics: Mapping[str, Topic], ids: Mapping[str, str]
) -> None:
    """`ids`: of the topics when they were read, as far as they were known. Errors: ContinuityError
    where one is gone, or another under its name."""
    for name in sorted({topic for topic, _ in offsets}):
        where = {"topic": name, "from": _first(offsets, name)}
        if name not in topics:
            raise ContinuityError(
                "a topic that was read is gone, or is not among `topics` any more, or this user may"
                " not see it",
                where=where,
                fix=f"restore it, name it, or allow it; or {START_OVER}",
            )
        known, now = ids.get(name), topics[name].id
        if known and now and known != now:
            raise ContinuityError(
                "the topic was made anew: it is another of the same name", where=where, fix=GAP
            )


def verify_extent(
    offsets: Mapping[Partition, int], extent: Mapping[Partition, tuple[int, int]]
) -> None:
    """Errors: ContinuityError where a partition does not hold the offset to be read next."""
    for (topic, number), offset in sorted(offsets.items()):
        if (topic, number) not in extent:
            continue
        first, end = extent[topic, number]
        where = {"topic": topic, "partition": number, "from": offset}
        if offset < first:
            raise ContinuityError(
                f"Kafka has deleted {first - offset} offset(s) that were not read yet",
                where={**where, "to": first},
                fix=GAP,
            )
        if offset > end:
            raise made_anew((topic, number), offset, end)


def made_anew(partition: Partition, offset: int, to: int) -> ContinuityError:
    return ContinuityError(
        "the topic ends before what was read of it: it was made anew, or has lost records",
        where={"topic": partition[0], "partition": partition[1], "from": offset, "to": to},
        fix=GAP,
    )


def _first(offsets: Mapping[Partition, int], topic: str) -> int:
    return min(offset for (name, _), offset in offsets.items() if name == topic)
