"""What a change is called: its idempotency key, the same however often it is sent.

It comes from the journal, the pipeline, the entity and its key, the change's place in the journal,
and how often the API refused it for good: a change that a person replays after a refusal is a new
request, since the API may remember the old one's answer. Two requests for one change (a PATCH, then
a POST) have keys of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def change_key(
    journal: str,
    pipeline: str,
    target: str,
    key: tuple[str | None, ...],
    entry: int,
    number: int,
    refusals: int,
) -> str:
    """In the form of a UUID (version 8 of RFC 9562)."""
    return _uuid(repr((journal, pipeline, target, key, entry, number, refusals)))


def step_key(key: str, step: str) -> str:
    return _uuid(f"{key} {step}")


def batch_key(keys: Iterable[str]) -> str:
    return _uuid(" ".join(keys))


def digest(*parts: object) -> int:
    """64 bits of what a row says, never 0."""
    data = repr(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest()) | 1


def _uuid(text: str) -> str:
    made = hashlib.sha256(text.encode()).hexdigest()
    return f"{made[:8]}-{made[8:12]}-8{made[13:16]}-a{made[17:20]}-{made[20:32]}"
