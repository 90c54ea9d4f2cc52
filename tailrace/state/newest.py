"""The newest values that a pipeline has written, kept from one process to the next.

Only measures hang on it: it is not flushed to disk, and what cannot be read is nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def save(path: Path, newest_s: Mapping[str, float]) -> None:
    """By entity and field, ``reading.taken``, in seconds since 1970. A full disk is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        other = path.with_suffix(".new")
        other.write_text(json.dumps(dict(newest_s)))
        other.replace(path)
    except OSError:
        return


def load(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text())
        return {str(name): float(newest_s) for name, newest_s in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
