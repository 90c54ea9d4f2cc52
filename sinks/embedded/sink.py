"""A file as a target: rows and checkpoint in one transaction of its own.

    take our turn ─▶ begin ─▶ is the epoch ours? ─▶ clear, delete, upsert … ─▶ checkpoint ─▶ commit

`sinks.applying` says what is written in which way. A turn (see `turns`) ends with the transaction,
or, where a file keeps all others out while it is open, soon after: as soon as somebody else waits
for it, or when nothing more has come for a moment. A process that takes this pipeline over does not
wait for the end of our transaction; it is rolled back, as a server would do.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from cdc.schema import TableName
from sinks import applying
from sinks.applying import SAVEPOINT
from sinks.embedded.books import CheckpointTable
from sinks.embedded.find import find
from sinks.embedded.ordered import apply_in_order
from sinks.embedded.session import Codec, Engine, Session
from sinks.embedded.statements import Statements
from sinks.embedded.tables import prepare
from sinks.embedded.turns import Turn
from sinks.foreign_keys import References
from sinks.protocol import NO_RECEIPTS, Checkpoint, Durable, Receipts, Written
from sinks.watch import LongWrite, Unwatched
from tailrace.errors import RowRefused, TailraceError, TargetRefused, TargetUnavailable
from tailrace.failpoints import failpoint
from transforms.references import Reference
from transforms.rows import RowChanges, TargetTable

LOOK_S = 0.1
"""How often we look whether somebody waits for our turn."""
IDLE_S = 0.5
"""After so long without a transaction a file that keeps others out is left to them."""
BUSY_S = 5.0
PAUSE_S = 0.25
"""However busy we are, after so long they have the file for a moment."""
MOVED_S = 1.0

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="EmbeddedSink")


def alone(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """Not while the watching thread ends our turn; errors name the file."""

    def wrapped(self: S, /, *args: P.args, **more: P.kwargs) -> T:
        with self._mutex:
            try:
                return method(self, *args, **more)
            except (TargetUnavailable, TargetRefused) as error:
                if not isinstance(error, RowRefused):
                    error.where.setdefault("file", str(self._path))
                raise

    wrapped.__doc__ = method.__doc__
    return wrapped


class EmbeddedSink:
    """One pipeline's hold on a file. May be opened again after `close`."""

    undoes = True

    def __init__(
        self, engine: Engine, path: Path, pipeline: str, watch: LongWrite | None = None
    ) -> None:
        self._watch = watch or Unwatched()
        self._moved_s, self._sent = 0.0, 0
        self._engine = engine
        self._path = path
        self._pipeline = pipeline
        self._turn = Turn(path, pipeline, lambda: self._watch.stopping)
        self._mutex = threading.RLock()
        self._held = threading.Event()
        self._watcher: threading.Thread | None = None
        self._checkpoint = CheckpointTable(engine, pipeline, uuid.uuid4().hex)
        self._session: Session | None = None
        self._file: tuple[int, int] | None = None
        self._is_open = self._was_ended = False
        self._used_at = self._since = 0.0
        self._statements: dict[TargetTable, Statements] = {}
        self._writers: dict[TargetTable, applying.Writer] = {}
        self._codecs: dict[TargetTable, Codec] = {}
        self._references = References()
        self.system = f"{engine.product.lower()}/{path}"

    @alone
    def open(self, journal: str) -> Checkpoint:
        self.close()
        self._is_open, self._file = True, None
        try:
            with self._translated("opening the target"):
                session = self._connected()
                session.begin()
                self._checkpoint.ensure(session)
                checkpoint = self._checkpoint.take_over(session, journal)
                session.commit()
                self._pause()
        except BaseException:
            self.close()
            raise
        return checkpoint

    @alone
    def prepare(self, tables: Sequence[TargetTable]) -> None:
        wanted = [table for table in tables if table not in self._writers]
        if not wanted:
            return
        was_open = self._in_transaction
        session = self._begin()
        made = []
        for table in wanted:
            assert table.composite is None, "refused by config.checks"
            with self._translated("preparing a target table", table=str(table.table)):
                found = prepare(self._engine, session, self._pipeline, table)
                codec = self._engine.codec(table, found, session)
            made.append((table, codec))
        with self._translated("reading the target's foreign keys"):
            names = dict.fromkeys(table.table for table in [*self._codecs, *wanted])
            self._references = self._engine.references(session, list(names))
        if not was_open:
            with self._translated("preparing target tables"):
                session.commit()
        for table, codec in made:
            self._codecs[table] = codec
            self._statements[table] = Statements(self._engine, table, codec)
            self._writers[table] = self._engine.writer(session, table, codec)
        self._pause()

    @alone
    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self._begin()
        converted = [self._codecs[change.table].converted(change) for change in changes]
        counts = applying.write(self, converted)
        failpoint("deliver.applied")
        return counts

    @alone
    def find(self, reference: Reference, keys: Sequence[str]) -> dict[str, str]:
        """As `sinks.protocol.FindsKeys.find`."""
        session = self._begin()
        with self._translated("looking up references"):
            return find(self._engine, session, reference, keys)

    def demands(self, table: TableName) -> Sequence[Reference]:
        """None: what the file's own foreign keys refuse is found row by row."""
        return ()

    @alone
    def receipts(self) -> frozenset[str]:
        with self._translated("reading what is parked"):
            found = self._checkpoint.receipts(self._connected())
        self._pause()
        return found

    @alone
    def commit(self, checkpoint: Checkpoint, receipts: Receipts = NO_RECEIPTS) -> Durable:
        session = self._begin()
        self._verify_file()  # what is committed to a file that was removed is lost with it
        with self._translated("storing the checkpoint"):
            self._checkpoint.keep(session, receipts)
            self._checkpoint.store(session, checkpoint)
        failpoint("deliver.before_commit")
        try:
            with self._translated("committing"):
                session.commit()
        except TailraceError as error:
            self._leave()  # an open transaction would keep the file
            raise TargetUnavailable(
                f"{error.what}; the checkpoint will tell whether it was committed",
                where=error.where,
                fix=error.fix,
            ) from error
        failpoint("deliver.commit_sent")
        self._pause()
        return Durable(checkpoint)

    def discrepancies(self) -> dict[str, int]:
        """None: an entity with several sources is refused at these targets."""
        return {}

    @alone
    def rollback(self) -> None:
        if self._session is not None and self._in_transaction:
            with self._translated("rolling back"):
                self._session.rollback()
        self._forget_tables()  # they may be others by the time this is tried again
        self._pause()

    def close(self) -> None:
        with self._mutex:
            self._is_open = self._was_ended = False
            self._leave()
            self._forget_tables()
            self._watcher = None
            self._held.set()  # so that its thread sees it, and ends
            self._held = threading.Event()

    # The turn

    def _connected(self) -> Session:
        assert self._is_open, "open the sink first"
        if self._was_ended:
            raise TargetUnavailable(
                "another process has asked for this pipeline; our transaction was rolled back",
                where={"pipeline": self._pipeline, "file": str(self._path)},
            )
        if self._watch.overdue:
            raise TargetUnavailable(
                "delivery stops; what is not committed is written when it is started again",
                where={"pipeline": self._pipeline, "file": str(self._path)},
            )
        if self._session is None or not self._turn.is_held:
            self._turn.take()
            try:
                self._verify_file()
                if self._session is None:
                    self._session = self._engine.connect(self._path)
                    self._file = self._file or _identity(self._path)
                    self._writers = {
                        table: self._engine.writer(self._session, table, self._codecs[table])
                        for table in self._writers
                    }
            except BaseException:
                self._turn.give()
                raise
            self._look_out()
            self._since = time.monotonic()
        self._used_at = time.monotonic()
        return self._session

    def _begin(self) -> Session:
        session = self._connected()
        if not session.in_transaction:
            with self._translated("writing"):
                session.begin()
                try:
                    self._checkpoint.verify(session)
                except TailraceError:
                    self._leave()
                    raise
        return session

    def _verify_file(self) -> None:
        """Whether it is the one that was opened. Errors: TargetUnavailable."""
        if self._file is None or self._file == _identity(self._path):
            return
        self._leave()
        raise TargetUnavailable(
            "the target's file was removed, or is another one than was opened",
            where={"pipeline": self._pipeline, "file": str(self._path)},
            fix="put it back where it is to be kept: what is there now is opened next, or made anew"
            " and filled as far as the journal reaches back",
        )

    @property
    def _in_transaction(self) -> bool:
        return self._session is not None and self._session.in_transaction

    def _pause(self) -> None:
        """Between transactions others may have their turn."""
        if self._in_transaction:
            return
        self._used_at = time.monotonic()
        if not self._engine.keeps_others_out:
            self._held.clear()
            self._turn.give()
        elif self._turn.waiting() is not None:
            self._leave()
        elif self._used_at - self._since > BUSY_S:
            self._leave()
            time.sleep(PAUSE_S)

    def _leave(self) -> None:
        """Give the file up; what is not committed is rolled back."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._held.clear()
        self._turn.give()

    def _forget_tables(self) -> None:
        self._writers.clear()
        self._statements.clear()
        self._codecs.clear()

    def _look_out(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._give_way,
                args=(self._held,),
                name=f"turns of {self._pipeline}",
                daemon=True,
            )
            self._watcher.start()
        self._held.set()

    def _give_way(self, held: threading.Event) -> None:
        """Until the sink is closed: end our turn where another has a better claim to it, and a
        statement for which a stop would have to wait too long."""
        while True:
            held.wait()
            if not self._mutex.acquire(timeout=LOOK_S):
                session = self._session
                if self._watch.overdue and session is not None:
                    session.interrupt()
                continue
            try:
                if held is not self._held:
                    return
                if self._turn.is_held:
                    self._yield_to(self._turn.waiting())
            finally:
                self._mutex.release()
            time.sleep(LOOK_S)

    def _yield_to(self, waiting: str | None) -> None:
        if self._in_transaction:
            if waiting == self._pipeline:
                self._was_ended = True
                self._leave()
        elif waiting is not None or time.monotonic() - self._used_at > IDLE_S:
            self._leave()

    def _moves(self, rows: int) -> None:
        """A write goes on that may take long."""
        self._sent += rows
        if time.monotonic() - self._moved_s > MOVED_S:
            self._watch.moved(self._sent)
            self._moved_s = time.monotonic()

    def _translated(self, doing: str, **where: object) -> Any:
        return self._engine.translated(doing, pipeline=self._pipeline, **where)

    # What `sinks.applying` asks of us

    @property
    def singly_max(self) -> int:
        return self._engine.singly_rows_max

    @property
    def references(self) -> References:
        return self._references

    def writer(self, table: TargetTable) -> applying.Writer:
        return self._writers[table]

    def in_order(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        return apply_in_order(self._engine, self._connected(), changes, self._statements)

    def clear(self, tables: Sequence[TableName]) -> None:
        for table in sorted(tables, key=self._references.rank, reverse=True):
            with self._translated("clearing", table=str(table)):
                self._connected().execute(f"delete from {self._engine.table(table)}")

    def savepoint(self, name: str = SAVEPOINT) -> None:
        with self._translated("writing"):
            self._connected().savepoint(name)

    def undo(self, name: str = SAVEPOINT) -> None:
        with self._translated("writing"):
            self._connected().undo(name)

    def release(self, name: str = SAVEPOINT) -> None:
        with self._translated("writing"):
            self._connected().release(name)

    def abandon(self, name: str = SAVEPOINT) -> None:
        self.undo(name)
        self.release(name)

    def may_go_as_sets(self, refused: TargetRefused) -> bool:
        return self._engine.may_go_as_sets(refused.where)


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the file that has this name now; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
