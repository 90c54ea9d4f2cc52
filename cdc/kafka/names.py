"""Which topics hold rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

HEARTBEATS = "__debezium-heartbeat"


def rows_topics(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Of `names` those that match, without Debezium's own: heartbeats, transactions
    (``PREFIX.transaction``), logical messages (``PREFIX.message``) and schema changes (``PREFIX``).
    """
    known = sorted(names)
    prefixes = {name.partition(".")[0] for name in known if "." in name}
    wanted = [re.compile(translate(pattern)) for pattern in patterns]
    return [
        name
        for name in known
        if any(pattern.match(name) for pattern in wanted) and not _is_debeziums(name, prefixes)
    ]


def _is_debeziums(name: str, prefixes: set[str]) -> bool:
    if name.startswith("__"):
        return True
    prefix, _, rest = name.partition(".")
    return (not rest and prefix in prefixes) or rest in ("transaction", "message")
