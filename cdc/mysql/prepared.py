"""The XA transactions that are prepared and neither committed nor rolled back yet.

Their rows wait in `cdc.mysql.xa.Held`; the position names them, so that a restart reads them again.
"""

from __future__ import annotations

from cdc.mysql import xa
from cdc.mysql.events import Gtid
from cdc.mysql.positions import AnyGtid, Reached
from cdc.protocol import START_OVER
from tailrace.errors import ContinuityError, DecodeError


class Prepared:
    def __init__(self, position: Reached) -> None:
        self._position = position
        self._held: dict[xa.Xid, tuple[AnyGtid, xa.Held]] = {}
        self._awaited = set(position.prepared)  # to be read again
        self._again = {one.domain for one in self._awaited if isinstance(one, Gtid)}

    def awaits(self, gtid: AnyGtid) -> bool:
        """Whether it was prepared before the position from which the log is read again."""
        return gtid in self._awaited

    def refuse_unasked(self, gtid: AnyGtid) -> None:
        """`gtid` is not behind our position. Errors: ContinuityError at a MariaDB that was not
        asked for it again: its numbers do not ascend, and passing it over would lose it."""
        if isinstance(gtid, Gtid) and gtid.domain not in self._again:
            raise ContinuityError(
                f"transaction {gtid} stands in the log behind one of a higher or the same number",
                fix="SET GLOBAL gtid_strict_mode = ON, and a gtid_domain_id of its own for each"
                f" server that is written to; then {START_OVER}",
            )

    def refuse_missing(self, gtid: Gtid) -> None:
        """Errors: ContinuityError where the log went past a transaction to be read again."""
        self._again.discard(gtid.domain)  # behind our position now
        missing = [
            str(one) for one in self._awaited if isinstance(one, Gtid) and one.domain == gtid.domain
        ]
        if missing:
            raise ContinuityError(
                "the log lacks an XA transaction that was prepared before our position",
                where={"missing": ",".join(missing)},
                fix=START_OVER,
            )

    def add(self, xid: xa.Xid, gtid: AnyGtid, held: xa.Held) -> None:
        """`gtid` has prepared it. Errors: DecodeError."""
        if xid in self._held or len(self._held) >= xa.PREPARED_MAX:
            raise DecodeError(
                "an XA transaction is prepared that is prepared already"
                if xid in self._held
                else f"more than {xa.PREPARED_MAX} XA transactions are prepared at once",
                where={"xid": str(xid)},
            )
        self._held[xid] = gtid, held
        self._awaited.discard(gtid)

    def ended(self, xid: xa.Xid) -> xa.Held | None:
        """It was committed or rolled back; its rows, where they are known."""
        gtid, held = self._held.pop(xid, (None, None))
        if gtid is not None:
            self._position.finish(gtid)
        return held
