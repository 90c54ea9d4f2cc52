"""Which records are one, by the pairs that rules join. Pure.

Records fall into groups that are connected by matches. A group becomes one identity as a whole or
not at all: what comes of it depends on the group alone, not on the order of its records. It does
not where it would hold two records of one source, or two that a person has set apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """`identity` that it has now; `live`: its source has it now, or
    is about to send it again."""

    identity: str
    source: str
    key: str
    live: bool


def joined(
    records: Sequence[Record],
    matches: Iterable[tuple[str, str]],
    apart: Iterable[tuple[str, str]],
    ranks: Mapping[str, int],
) -> dict[str, str]:
    """Identities that become another one: {before: after}.

    `records` of all identities that `matches` or `apart`, pairs of identities, name. An identity
    goes on in the record of the source of lowest rank; of those with equal keys the first.
    """
    roots = _Roots()
    for one, two in matches:
        roots.join(one, two)
    refused = {roots.of(one) for one, two in apart if roots.of(one) == roots.of(two)}
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(roots.of(record.identity), []).append(record)
    found: dict[str, str] = {}
    for root, group in groups.items():
        identities = {record.identity for record in group}
        if len(identities) == 1 or root in refused:
            continue
        live = [record for record in group if record.live]
        if max(Counter(record.source for record in live).values(), default=0) > 1:
            continue
        kept = min(
            group,
            key=lambda record: (not record.live, ranks.get(record.source, len(ranks)), record.key),
        ).identity
        found |= {identity: kept for identity in identities if identity != kept}
    return found


class _Roots:
    """Disjoint sets."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, one: str) -> str:
        path = []
        while (above := self._above.get(one, one)) != one:
            path.append(one)
            one = above
        for each in path:
            self._above[each] = one
        return one

    def join(self, one: str, two: str) -> None:
        one, two = self.of(one), self.of(two)
        if one != two:
            self._above[max(one, two)] = min(one, two)
