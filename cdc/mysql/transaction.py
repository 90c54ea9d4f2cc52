"""Transactions of a log: the open one, the prepared ones, and the position behind the others.

One begins with a GTID event and ends with XID, or with the one statement it consists of. One that
only prepares an XA transaction is set aside (`cdc.mysql.xa`); its rows come in the place of the one
that commits it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cdc.mysql import statements, xa
from cdc.mysql.events import Gtid
from cdc.mysql.gtidset import MysqlGtid
from cdc.mysql.positions import AnyGtid, Coordinates, FilePosition, Position, Reached
from cdc.mysql.prepared import Prepared
from cdc.protocol import START_OVER
from tailrace.errors import ContinuityError, DecodeError


@dataclass(slots=True, eq=False)
class Statement:
    """One that changes rows. `text`: its beginning; `tables`: the numbers of all that it may
    change."""

    text: str
    tables: set[int] = field(default_factory=set)

    @property
    def replaces(self) -> bool | None:
        """Whether rows that it updates are made anew; None where a trigger or function may do so
        in its place."""
        return statements.replaces(self.text) if len(self.tables) == 1 else None


@dataclass(slots=True, eq=False)
class OpenTransaction:
    """`alone`: whether it is the one statement that comes next. `skipping`: whether it is not
    behind our position. `held`: its rows, where they are set aside. `started`: whether a row of it
    was given out. `origin`: as in `cdc.changes.TRANSACTIONS`. `tables`: what reads rows, by number.
    `statement`: the one whose rows come, where the log says it.
    """

    gtid: AnyGtid
    commit_us: int
    skipping: bool
    alone: bool
    alter_phase: int = 0
    held: xa.Held | None = None
    started: bool = False
    origin: str | None = None
    tables: dict[int, Any] = field(default_factory=dict)
    statement: Statement | None = None

    @property
    def listed(self) -> tuple[str, int, int, str | None]:
        """As a change set lists it, see `cdc.arrays.transactions`."""
        return str(self.gtid), self.commit_us, self.gtid.sequence & (1 << 63) - 1, self.origin

    @property
    def has_rows(self) -> bool:
        return self.started or (self.held is not None and self.held.events > 0)


class Transactions:
    """`at`, wherever it is an argument: file and position behind the event."""

    def __init__(self, position: Reached) -> None:
        self.position = position
        self.open: OpenTransaction | None = None
        self.again: Iterator[xa.Kept] | None = None
        """What was held for the open one; `end` is due behind it."""
        self._prepared = Prepared(position)

    @property
    def inside(self) -> OpenTransaction:
        """The open one. Errors: DecodeError where there is none."""
        if self.open is None:
            raise DecodeError("rows outside a transaction")
        return self.open

    def begin(
        self, gtid: Gtid, commit_us: int, *, alone: bool, alter_phase: int, prepares: bool
    ) -> None:
        """A MariaDB's. `prepares`: whether that is all it does."""
        opened = self._open(gtid, commit_us, alone=alone)
        opened.alter_phase = alter_phase
        if not opened.skipping:
            self._prepared.refuse_missing(gtid)
        if prepares:
            self._hold(opened)

    def begin_named(self, gtid: MysqlGtid, commit_us: int, at: Coordinates) -> None:
        """MySQL does not say beforehand whether BEGIN comes next, or a statement by itself."""
        if gtid.sequence == 0 or isinstance(self.position, FilePosition):
            # A position in a file tells only of places in files whether they are before it.
            gtid = self._nameless(at)
        self._open(gtid, commit_us, alone=True)

    def _nameless(self, at: Coordinates) -> MysqlGtid:
        """Where its file says that it begins takes the place of a name."""
        if not isinstance(self.position, FilePosition):
            raise DecodeError(
                "a transaction without a GTID, behind others that have one",
                fix=f"SET GLOBAL gtid_mode = ON, then {START_OVER}",
            )
        return MysqlGtid(*at)

    def _open(self, gtid: AnyGtid, commit_us: int, *, alone: bool) -> OpenTransaction:
        if self.open is not None:
            raise DecodeError(f"transaction {gtid} begins inside {self.open.gtid}")
        if isinstance(gtid, Gtid) != isinstance(self.position, Position):
            raise DecodeError(f"transaction {gtid} is named as the other product names its own")
        skipping = self.position.holds(gtid)
        self.open = OpenTransaction(gtid, commit_us, skipping, alone)
        if skipping:
            self._prepared.refuse_unasked(gtid)
        return self.open

    def _hold(self, opened: OpenTransaction) -> None:
        if not opened.skipping or self._prepared.awaits(opened.gtid):
            opened.held = xa.Held()

    def end(self, at: Coordinates) -> None:
        if self.open is None:
            raise DecodeError("a transaction ends that has not begun")
        if self.open.held is not None:
            raise DecodeError("an XA transaction ends without having been prepared")
        if not self.open.skipping:
            self.position.advance(self.open.gtid, at)
        self.open = None

    def prepare(self, xid: xa.Xid, at: Coordinates, *, one_phase: bool) -> None:
        """The open one was to prepare `xid`, or (at MySQL only) to commit it at once."""
        opened = self.inside
        held, opened.held = opened.held, None
        if held is None:
            if not opened.skipping:
                raise DecodeError("an XA transaction is prepared that has not begun")
            return self.end(at)
        if one_phase:
            self.again = held.again()
            return
        held.origin = opened.origin
        self._prepared.add(xid, opened.gtid, held)
        if not opened.skipping:
            self.position.prepare(opened.gtid, at)
        self.open = None

    def two_phases(self, statement: str, at: Coordinates) -> None:
        """A statement XA …"""
        opened = self.inside
        verb, xid = xa.statement(statement)
        if verb == "start" and opened.held is None:
            self._hold(opened)
        opened.alone = False
        if verb not in ("commit", "rollback"):
            return
        if opened.skipping:
            return self.end(at)
        held = self._prepared.ended(xid)
        if verb == "commit":
            if held is None:
                raise ContinuityError(
                    "an XA transaction is committed whose rows are not in the log behind our"
                    " position",
                    where={"xid": str(xid)},
                    fix=START_OVER,
                )
            self.again, opened.origin = held.again(), held.origin
            return
        if held is not None:
            held.close()
        self.end(at)
