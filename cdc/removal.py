"""What taking back all that is ours at a source came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Removal:
    """What was `dropped`, what was `kept` and why, and what `proof` (a query anyone can repeat)
    still finds: `left` is empty when all is gone."""

    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    proof: str
    left: tuple[str, ...]
