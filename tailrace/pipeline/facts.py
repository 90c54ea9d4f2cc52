"""Facts stored in a journal beside its entries, which both loops read."""

from __future__ import annotations

SNAPSHOT = "snapshot"
"""`running` while the first snapshot is being copied, then `done`."""
