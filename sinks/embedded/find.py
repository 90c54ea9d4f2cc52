"""Which keys are there."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.embedded.session import Engine, Session
from transforms.references import Reference

ASKED_MAX = 500
"""Keys in one question; SQLite takes 999 parameters where it is old."""


def find(
    engine: Engine, session: Session, reference: Reference, keys: Sequence[str]
) -> dict[str, str]:
    """As `sinks.protocol.FindsKeys.find`. Errors: the engine's."""
    column = engine.quoted(reference.column)
    sought = engine.key("asked.k", reference.type)
    found: dict[str, str] = {}
    for first in range(0, len(keys), ASKED_MAX):
        some = keys[first : first + ASKED_MAX]
        rows = session.query(
            f"with asked(k) as (values {', '.join(['(?)'] * len(some))}) select k from asked"
            f" where exists (select 1 from {engine.table(reference.table)} t"
            f" where t.{column} = {sought})",
            list(some),
        )
        found |= {str(key): str(key) for (key,) in rows}
    return found
