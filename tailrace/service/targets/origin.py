"""The system that a journal's source is, as a sink would name it (`Sink.system`)."""

from __future__ import annotations

import json
from collections.abc import Callable

from cdc.mysql.marks import SYSTEM
from cdc.postgres.continuity import IDENTITY


def origin(fact: Callable[[str], str | None]) -> str | None:
    found = fact(IDENTITY)
    if found is None:
        return fact(SYSTEM)
    identity = json.loads(found)
    return f"{identity['system']}/{identity['database']}"


def database(fact: Callable[[str], str | None]) -> str:
    """Of a PostgreSQL; empty where the journal does not know it."""
    found = fact(IDENTITY)
    return "" if found is None else str(json.loads(found)["database"])
