"""Where in a server's log: by the transactions that have been read whole, not by file and byte,
since a promoted replica has the same transactions in files of its own. Pure.
"""

from __future__ import annotations

from typing import Protocol

from cdc.mysql.events import Gtid
from cdc.mysql.gtidset import GtidSet, MysqlGtid

AnyGtid = Gtid | MysqlGtid
"""What a transaction is called, whichever server it is of."""
Coordinates = tuple[str, int]
"""A file of the log, and the byte behind something in it."""


class Reached(Protocol):
    """Every transaction up to here has been read whole."""

    def holds(self, gtid: AnyGtid) -> bool: ...

    def advance(self, gtid: AnyGtid, end: Coordinates) -> None:
        """Add a transaction, and where it ends."""

    def rest(self, at: Coordinates) -> None:
        """No transaction is open here, where a file of the log begins."""

    def __str__(self) -> str:
        """To resume from."""


class Position:
    """Where in the log: the last transaction of each domain, as ``gtid_slave_pos`` has it."""

    def __init__(self, text: str = "") -> None:
        """Errors: ValueError."""
        found = [Gtid.parse(part.strip()) for part in text.split(",") if part.strip()]
        self._last = {gtid.domain: gtid for gtid in found}

    def holds(self, gtid: AnyGtid) -> bool:
        assert isinstance(gtid, Gtid)
        last = self._last.get(gtid.domain)
        return last is not None and gtid.sequence <= last.sequence

    def advance(self, gtid: AnyGtid, end: Coordinates = ("", 0)) -> None:
        assert isinstance(gtid, Gtid)
        self._last[gtid.domain] = gtid

    def rest(self, at: Coordinates) -> None:
        """Nothing: names hold in all files."""

    @property
    def gtids(self) -> list[Gtid]:
        return [self._last[domain] for domain in sorted(self._last)]

    def __str__(self) -> str:
        return ",".join(map(str, self.gtids))


class MysqlPosition:
    """A set of MySQL's GTIDs."""

    def __init__(self, text: str = "") -> None:
        """Errors: ValueError."""
        self.gtids = GtidSet(text)

    def holds(self, gtid: AnyGtid) -> bool:
        assert isinstance(gtid, MysqlGtid)
        return self.gtids.holds(gtid)

    def advance(self, gtid: AnyGtid, end: Coordinates) -> None:
        assert isinstance(gtid, MysqlGtid)
        self.gtids.advance(gtid)

    def rest(self, at: Coordinates) -> None:
        """Nothing: names hold in all files."""

    def __str__(self) -> str:
        return str(self.gtids)


class FilePosition:
    """File and byte, of a MySQL that gives its transactions no names (gtid_mode=OFF).

    The log is asked for from there, so that nothing before it comes again.
    """

    def __init__(self, text: str) -> None:
        """`text`: ``binlog.000007:1234``. Errors: ValueError."""
        file, separator, byte = text.rpartition(":")
        if not separator:
            raise ValueError(f"not a file and position: {text}")
        self.at: Coordinates = file, int(byte)

    def holds(self, gtid: AnyGtid) -> bool:
        return False

    def advance(self, gtid: AnyGtid, end: Coordinates) -> None:
        self.at = end

    def rest(self, at: Coordinates) -> None:
        self.at = at

    def __str__(self) -> str:
        return f"{self.at[0]}:{self.at[1]}"


def is_file_position(text: str) -> bool:
    """Whether a position of a MySQL is a file's, not a set of GTIDs: those end in a number, too,
    but begin with a UUID."""
    try:
        GtidSet(text)
    except ValueError:
        return True
    return False
