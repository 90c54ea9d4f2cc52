"""Where in a server's log: by the transactions that have been read whole, not by file and byte,
since a promoted replica has the same transactions in files of its own. Pure.

    0-1-27,7-1-5;xa=0-1-25:0-1-24,7-1-3:
    3f2a…:1-27;xa=3f2a…:25
    binlog.000007:1234;xa=binlog.000003:555:444

Behind ``;xa=``, where there are any, stand the transactions that only prepared an XA transaction
which is neither committed nor rolled back yet. Their rows are in no journal, so they are to be read
again. MySQL sends whatever GTIDs are asked for. MariaDB sends a domain from one transaction on, and
any server a file from a byte on; so there each stands with the one before it (none: it was the
first), or with where that ended, and what else comes again is passed over.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from cdc.mysql.events import Gtid
from cdc.mysql.gtidset import GtidSet, MysqlGtid

AnyGtid = Gtid | MysqlGtid
"""What a transaction is called, whichever server it is of."""
Coordinates = tuple[str, int]
"""A file of the log, and the byte behind something in it."""


FILE_BEGIN = 4
"""Where in a file its first event stands."""


class Reached(Protocol):
    """Every transaction up to here has been read whole."""

    def holds(self, gtid: AnyGtid) -> bool: ...
    def includes(self, name: str) -> bool:
        """Whether a transaction of the log, by its name, is before this. Errors: ValueError."""

    def advance(self, gtid: AnyGtid, end: Coordinates) -> None:
        """Add a transaction, and where it ends."""

    def rest(self, at: Coordinates) -> None:
        """No transaction is open here, where a file of the log begins."""

    @property
    def prepared(self) -> Collection[AnyGtid]:
        """Those that prepared an XA transaction whose end has not been read."""

    def prepare(self, gtid: AnyGtid, end: Coordinates) -> None:
        """Add one of these."""

    def finish(self, prepared: AnyGtid) -> None:
        """It was committed or rolled back."""

    def __str__(self) -> str:
        """To resume from."""


_PREPARED = ";xa="


class Position:
    """The last transaction of each of MariaDB's domains, as ``gtid_slave_pos`` has it."""

    def __init__(self, text: str = "") -> None:
        """Errors: ValueError."""
        last, _, prepared = text.partition(_PREPARED)
        found = [Gtid.parse(part.strip()) for part in last.split(",") if part.strip()]
        self._last = {gtid.domain: gtid for gtid in found}
        self._prepared: dict[Gtid, Gtid | None] = {}  # and the one before each
        for part in filter(None, prepared.split(",")):
            gtid, _, before = part.partition(":")
            self._prepared[Gtid.parse(gtid)] = Gtid.parse(before) if before else None

    def holds(self, gtid: AnyGtid) -> bool:
        assert isinstance(gtid, Gtid)
        last = self._last.get(gtid.domain)
        return last is not None and gtid.sequence <= last.sequence

    def includes(self, text: str) -> bool:
        return self.holds(Gtid.parse(text))

    def advance(self, gtid: AnyGtid, end: Coordinates = ("", 0)) -> None:
        assert isinstance(gtid, Gtid)
        self._last[gtid.domain] = gtid

    def rest(self, at: Coordinates) -> None:
        """Nothing: names hold in all files."""

    @property
    def prepared(self) -> Collection[AnyGtid]:
        return self._prepared.keys()

    def prepare(self, gtid: AnyGtid, end: Coordinates = ("", 0)) -> None:
        assert isinstance(gtid, Gtid)
        self._prepared[gtid] = self._last.get(gtid.domain)
        self.advance(gtid, end)

    def finish(self, prepared: AnyGtid) -> None:
        assert isinstance(prepared, Gtid)
        del self._prepared[prepared]

    @property
    def gtids(self) -> list[Gtid]:
        return [self._last[domain] for domain in sorted(self._last)]

    @property
    def start(self) -> str:
        """From where on to read the log, for ``slave_connect_state``.

        A domain that is not named is sent from its beginning.
        """
        last: dict[int, Gtid | None] = {**self._last}
        for gtid in sorted(self._prepared, key=lambda gtid: -gtid.sequence):
            last[gtid.domain] = self._prepared[gtid]
        return ",".join(str(gtid) for _, gtid in sorted(last.items()) if gtid is not None)

    def __str__(self) -> str:
        text = ",".join(map(str, self.gtids))
        if not self._prepared:
            return text
        pairs = (f"{gtid}:{before or ''}" for gtid, before in self._prepared.items())
        return text + _PREPARED + ",".join(pairs)


class MysqlPosition:
    """A set of MySQL's GTIDs."""

    def __init__(self, text: str = "") -> None:
        """Errors: ValueError."""
        executed, _, prepared = text.partition(_PREPARED)
        self.gtids = GtidSet(executed)
        self._prepared = set(map(MysqlGtid.parse, filter(None, prepared.split(","))))

    def holds(self, gtid: AnyGtid) -> bool:
        assert isinstance(gtid, MysqlGtid)
        return self.gtids.holds(gtid)

    def includes(self, name: str) -> bool:
        return not GtidSet(name).without(self.gtids)

    def advance(self, gtid: AnyGtid, end: Coordinates) -> None:
        assert isinstance(gtid, MysqlGtid)
        self.gtids.advance(gtid)

    def rest(self, at: Coordinates) -> None:
        """Nothing: names hold in all files."""

    @property
    def prepared(self) -> Collection[AnyGtid]:
        return self._prepared

    def prepare(self, gtid: AnyGtid, end: Coordinates) -> None:
        assert isinstance(gtid, MysqlGtid)
        self._prepared.add(gtid)
        self.gtids.advance(gtid)

    def finish(self, prepared: AnyGtid) -> None:
        assert isinstance(prepared, MysqlGtid)
        self._prepared.remove(prepared)

    @property
    def known(self) -> GtidSet:
        """What is not to be sent again."""
        again = GtidSet()
        for gtid in self._prepared:
            again.advance(gtid)
        return self.gtids.without(again)

    def __str__(self) -> str:
        text = str(self.gtids)
        if not self._prepared:
            return text
        return text + _PREPARED + ",".join(map(str, sorted(self._prepared)))


class FilePosition:
    """File and byte, of a MySQL that gives its transactions no names (gtid_mode=OFF).

    A transaction is named by where it begins, behind the event that would name it. To read one
    again the log is asked for from the end of the one before it, beside which it stands.
    """

    def __init__(self, text: str) -> None:
        """`text`: ``binlog.000007:1234``. Errors: ValueError."""
        at, _, prepared = text.partition(_PREPARED)
        self.at = _place(at)
        self._prepared: dict[MysqlGtid, Coordinates] = {}
        for part in filter(None, prepared.split(",")):
            named, _, before = part.rpartition(":")
            gtid = MysqlGtid(*_place(named))
            self._prepared[gtid] = gtid.source, int(before)

    @property
    def start(self) -> Coordinates:
        """From where on to read the log. Of places a reader can name only those in 4 GiB; beyond,
        the file comes from its beginning, and what is held is passed over."""
        file, byte = min([self.at, *self._prepared.values()], key=_order)
        return file, (byte if byte < 1 << 32 else FILE_BEGIN)

    def holds(self, gtid: AnyGtid) -> bool:
        assert isinstance(gtid, MysqlGtid)
        return _order((gtid.source, gtid.sequence)) < _order(self.at)

    def includes(self, name: str) -> bool:
        return _order(_place(name)) < _order(self.at)

    def advance(self, gtid: AnyGtid, end: Coordinates) -> None:
        self.at = end

    def rest(self, at: Coordinates) -> None:
        self.at = max(self.at, at, key=_order)

    @property
    def prepared(self) -> Collection[AnyGtid]:
        return self._prepared.keys()

    def prepare(self, gtid: AnyGtid, end: Coordinates) -> None:
        assert isinstance(gtid, MysqlGtid)
        self._prepared[gtid] = self.at
        self.at = end

    def finish(self, prepared: AnyGtid) -> None:
        assert isinstance(prepared, MysqlGtid)
        del self._prepared[prepared]

    def __str__(self) -> str:
        text = f"{self.at[0]}:{self.at[1]}"
        if not self._prepared:
            return text
        pairs = (f"{gtid}:{before}" for gtid, (_, before) in self._prepared.items())
        return text + _PREPARED + ",".join(pairs)


def _place(text: str) -> Coordinates:
    """Errors: ValueError."""
    file, separator, byte = text.rpartition(":")
    if not separator:
        raise ValueError(f"not a file and position: {text}")
    return file, int(byte)


def _order(at: Coordinates) -> tuple[int, str, int]:
    """Numbers of files grow, also in length."""
    file, byte = at
    return len(file), file, byte


def is_file_position(text: str) -> bool:
    """Whether a position of a MySQL is a file's, not a set of GTIDs: those end in a number, too,
    but begin with a UUID."""
    try:
        MysqlPosition(text)
    except ValueError:
        return True
    return False
