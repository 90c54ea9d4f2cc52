"""A pipeline's copy of the tables it looks up, on disk: as of one journal offset.

It is replaced whole, so that a crash leaves the one before. It only spares reading the journal from
its beginning on, which may be pruned: it is never ahead of the target's checkpoint, and the journal
is kept from its offset on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc.schema import TableSchema

VERSION = 1
Cell = str | bool | None
"""False: the value is not known."""


@dataclass(frozen=True, slots=True)
class StoredTable:
    """`offset`: up to which journal entry its rows are known. Cells are in the schema's order."""

    schema: TableSchema
    offset: int
    rows: Sequence[Sequence[Cell]]


def save(path: Path, journal: str, tables: Sequence[StoredTable]) -> None:
    """Durable when it returns; only the owner may read it. Errors: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {
        "version": VERSION,
        "journal": journal,
        "tables": [
            {
                "schema": one.schema.to_json(),
                "offset": one.offset,
                "rows": list(map(list, one.rows)),
            }
            for one in tables
        ],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    other = path.with_suffix(".new")
    with open(os.open(other, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    other.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path, journal: str | None = None) -> list[StoredTable]:
    """Nothing where there is no file, or it is of another release, or damaged, or not of the
    `journal` where one is named."""
    try:
        document = json.loads(path.read_text())
        if document["version"] != VERSION or journal not in (None, document["journal"]):
            return []
        return [
            StoredTable(TableSchema.from_json(one["schema"]), int(one["offset"]), one["rows"])
            for one in document["tables"]
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return []
