"""The checkpoint of a target that can hold none: one SQLite file of ours for each pipeline.

checkpoint   one row: which journal, how far
receipt      ids of the pipeline's parked changes
sent         what the target took since the checkpoint, so that it is not sent again after a crash
tried        of parked changes: how often the target refused each of their rows, and which it took
prepared     the tables that were prepared, and how their columns are protected; under no column's
             name which rows they admit (`TargetTable.admits`), or that this has changed

Everything a commit moves is one transaction. A lock beside the file lets one process at a time
have it, and goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sinks.protocol import Checkpoint, Receipts
from sinks.refusals import already_past, of_another_journal
from tailrace.errors import CheckpointLost, TargetUnavailable
from tailrace.sqlite import stamp, transaction

APPLICATION_ID = 0x74616370
VERSION = 1
BUSY_S = 10.0
LOCK_WAIT_S = 5.0
"""How long an older process may take to end; its supervisor has asked it to."""
LOCK_LOOK_S = 0.05

_TABLES = f"""
CREATE TABLE checkpoint (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  journal TEXT NOT NULL, offset INTEGER NOT NULL, position TEXT NOT NULL);
CREATE TABLE receipt (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE sent (piece INTEGER PRIMARY KEY, target TEXT NOT NULL, entry INTEGER NOT NULL,
  numbers BLOB NOT NULL, digests BLOB NOT NULL);
CREATE TABLE tried (
  id TEXT NOT NULL, target TEXT NOT NULL, refusals INTEGER NOT NULL, taken TEXT,
  PRIMARY KEY (id, target)) WITHOUT ROWID;
CREATE TABLE prepared (
  target TEXT NOT NULL, name TEXT NOT NULL, protected TEXT NOT NULL,
  PRIMARY KEY (target, name)) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """Of one row of a parked change. `taken`: the digest of what the target took, 0 where it took
    nothing."""

    refusals: int
    taken: int


class Sent:
    """What a target took since the checkpoint, with a digest of each row. Compact: eight bytes a
    row of a change set."""

    def __init__(self) -> None:
        self._digests: dict[tuple[int, str], array[int]] = {}
        self._unsaved: list[tuple[int, str, int, int]] = []

    def add(self, entry: int, target: str, number: int, digest: int) -> None:
        self._put(entry, target, number, digest)
        self._unsaved.append((entry, target, number, digest))

    def get(self, entry: int, target: str, number: int) -> int:
        """The digest; 0 where it was not taken."""
        found = self._digests.get((entry, target))
        return found[number] if found is not None and number < len(found) else 0

    def targets(self, entry: int, number: int) -> Iterator[tuple[str, int]]:
        """Of one change, what each target table took."""
        for (found, target), digests in self._digests.items():
            if found == entry and number < len(digests) and digests[number]:
                yield target, digests[number]

    def clear(self) -> None:
        self._digests.clear()
        self._unsaved.clear()

    def reopened(self) -> None:
        """What is durable is to be loaded; what could not be saved is still known."""
        self._digests.clear()
        for note in self._unsaved:
            self._put(*note)

    def _put(self, entry: int, target: str, number: int, digest: int) -> None:
        digests = self._digests.setdefault((entry, target), array("Q"))
        if number >= len(digests):
            digests.frombytes(bytes(8 * (number + 1 + len(digests) // 2 - len(digests))))
        digests[number] = digest

    def unsaved(self) -> Iterator[tuple[str, int, bytes, bytes]]:
        """(target, entry, numbers, digests) of what was added since the last `saved`."""
        grouped: dict[tuple[int, str], tuple[array[int], array[int]]] = {}
        for entry, target, number, digest in self._unsaved:
            numbers, digests = grouped.setdefault((entry, target), (array("Q"), array("Q")))
            numbers.append(number)
            digests.append(digest)
        for (entry, target), (numbers, digests) in grouped.items():
            yield target, entry, numbers.tobytes(), digests.tobytes()

    def saved(self) -> None:
        self._unsaved.clear()

    def load(self, target: str, entry: int, numbers: bytes, digests: bytes) -> None:
        for number, digest in zip(_integers(numbers), _integers(digests), strict=True):
            self._put(entry, target, number, digest)


class LocalCheckpoint:
    """One pipeline's file, held by this process from `open` to `close`. Not thread-safe."""

    def __init__(self, path: Path, pipeline: str) -> None:
        self._path = path
        self._pipeline = pipeline
        self._lock: int | None = None
        self._db: sqlite3.Connection | None = None

    def open(self, journal: str) -> Checkpoint:
        """Errors: TargetUnavailable while another process has it; CheckpointMismatch;
        CheckpointLost."""
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(self._path.with_suffix(".lock"), self._pipeline)
            with self._errors():
                self._db = _opened(self._path)
                return self._read(journal)
        except BaseException:
            self.close()
            raise

    def _read(self, journal: str) -> Checkpoint:
        row = self._held.execute("SELECT journal, offset, position FROM checkpoint").fetchone()
        if row is None:
            return Checkpoint(journal, 0, "")
        if row[0] != journal:
            anew = f"remove {self._path}"
            raise of_another_journal(self._pipeline, row[0], journal, anew)
        return Checkpoint(journal, int(row[1]), str(row[2]))

    def receipts(self) -> frozenset[str]:
        with self._errors():
            return frozenset(str(id) for (id,) in self._held.execute("SELECT id FROM receipt"))

    def tried(self) -> dict[tuple[str, str], Tried]:
        """By id and target table."""
        with self._errors():
            rows = self._held.execute("SELECT id, target, refusals, taken FROM tried").fetchall()
        return {
            (str(id), str(target)): Tried(int(refusals), int(taken or "0", 16))
            for id, target, refusals, taken in rows
        }

    def load(self, sent: Sent) -> None:
        with self._errors():
            for row in self._held.execute("SELECT target, entry, numbers, digests FROM sent"):
                sent.load(*row)

    def save(self, sent: Sent) -> None:
        """Make durable what was taken since the last call."""
        pieces = list(sent.unsaved())
        if pieces:
            with self._errors(), transaction(self._held):
                self._held.executemany(
                    "INSERT INTO sent (target, entry, numbers, digests) VALUES (?, ?, ?, ?)", pieces
                )
            sent.saved()

    def commit(
        self, checkpoint: Checkpoint, receipts: Receipts, tried: Mapping[tuple[str, str], Tried]
    ) -> None:
        """Errors: CheckpointMismatch where the checkpoint is past this one; CheckpointLost."""
        with self._errors(), transaction(self._held):
            moved = self._held.execute(
                "INSERT INTO checkpoint VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
                " offset = excluded.offset, position = excluded.position"
                " WHERE offset <= excluded.offset",
                (checkpoint.journal, checkpoint.offset, checkpoint.position),
            )
            if moved.rowcount != 1:
                raise already_past(self._pipeline, checkpoint.offset)
            for released in receipts.released:
                self._held.execute("DELETE FROM receipt WHERE id = ?", (released,))
                self._held.execute("DELETE FROM tried WHERE id = ?", (released,))
            self._held.executemany(
                "INSERT OR IGNORE INTO receipt VALUES (?)", [(id,) for id in receipts.parked]
            )
            self._held.executemany(
                "INSERT OR REPLACE INTO tried VALUES (?, ?, ?, ?)",
                [
                    (id, target, one.refusals, f"{one.taken:x}" if one.taken else None)
                    for (id, target), one in tried.items()
                ],
            )
            self._held.execute("DELETE FROM sent")

    @staticmethod
    def protections(path: Path) -> dict[str, dict[str, str]]:
        """Of each target table in a file that another process may hold: by column how it was
        protected. Nothing where the file is not there, or none that can be read."""
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
                rows = db.execute(
                    "SELECT target, name, protected FROM prepared WHERE name <> ''"
                ).fetchall()
        except sqlite3.Error:  # delivery says what is wrong with it
            return {}
        found: dict[str, dict[str, str]] = {}
        for target, name, protected in rows:
            found.setdefault(str(target), {})[str(name)] = str(protected)
        return found

    def protection(self, target: str) -> dict[str, str] | None:
        """By column how a table was protected when it was prepared last; None: it never was."""
        with self._errors():
            rows = self._held.execute(
                "SELECT name, protected FROM prepared WHERE target = ? AND name <> ''", (target,)
            ).fetchall()
        return dict(rows) if rows else None

    def admits(self, target: str, admits: str) -> bool:
        """Whether the table has admitted the same rows (`TargetTable.admits`) from its first row
        on. Once it has not, it is not known for ever. Before `prepared`."""
        with self._errors(), transaction(self._held):
            rows = dict(
                self._held.execute(
                    "SELECT name, protected FROM prepared WHERE target = ?", (target,)
                ).fetchall()
            )
            same = bool(admits) and (rows[""] == admits if "" in rows else not rows)
            if rows.get("") != (said := admits if same else _CHANGED):
                self._held.execute(
                    "INSERT OR REPLACE INTO prepared VALUES (?, '', ?)", (target, said)
                )
        return same

    def prepared(self, target: str, columns: Iterable[tuple[str, str]]) -> None:
        with self._errors(), transaction(self._held):
            self._held.executemany(
                "INSERT OR REPLACE INTO prepared VALUES (?, ?, ?)",
                [(target, name, protected) for name, protected in columns],
            )

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
        self._db = self._lock = None

    @property
    def _held(self) -> sqlite3.Connection:
        assert self._db is not None, "open it first"
        return self._db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0)
            where = {"file": self._path, "sqlite": getattr(error, "sqlite_errorname", None)}
            if isinstance(error, OSError) or code & 0xFF in _PASSING:
                raise TargetUnavailable(
                    "the pipeline's checkpoint cannot be written now",
                    where=where,
                    fix="free space on its disk, or see to its rights; delivery tries again",
                ) from error
            raise CheckpointLost(
                "the file of the pipeline's checkpoint is damaged",
                where=where,
                fix="restore it with the journal from a backup; without it nobody knows what was"
                " sent",
            ) from error


_CHANGED = "changed"
_PASSING = {
    code & 0xFF
    for code in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    )
}


def _integers(packed: bytes) -> Sequence[int]:
    found = array("Q")
    found.frombytes(packed)
    return found


def _locked(path: Path, pipeline: str) -> int:
    """A lock that ends with this process."""
    held = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
        except OSError:
            if time.monotonic() > until:
                os.close(held)
                raise TargetUnavailable(
                    "another process delivers this pipeline",
                    where={"pipeline": pipeline, "file": path},
                    fix="let one process run each pipeline; this one waits for its end",
                ) from None
            time.sleep(LOCK_LOOK_S)


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if stamp(db) == (0, 0):
            with transaction(db):
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
        if stamp(db) != (APPLICATION_ID, VERSION):
            raise CheckpointLost(
                "this is no file of a checkpoint that this release reads",
                where={"file": path, "application_id": stamp(db)[0], "version": stamp(db)[1]},
                fix=f"this release reads version {VERSION}; use the one that wrote it",
            )
    except BaseException:
        db.close()
        raise
    return db
