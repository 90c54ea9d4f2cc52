"""What a server's `version()` says. Pure."""

from __future__ import annotations

import re


def numbers(version: str) -> tuple[int, ...]:
    """The first two; none where it has none. MariaDB's may stand behind a MySQL's, for old
    clients."""
    matched = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)", version)
    return tuple(map(int, matched.groups())) if matched else ()
