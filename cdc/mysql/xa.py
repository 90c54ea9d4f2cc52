"""XA transactions: rows that are logged when they are prepared, and hold only once committed.

The log has the rows behind XA START up to XA PREPARE, in a transaction of its own, and perhaps days
later, perhaps of another session, one that is only XA COMMIT or XA ROLLBACK. Until then the rows
wait here: the first of them in memory, those of large transactions in a file without a name, which
is gone with the process. After a restart they are read again, see `cdc.mysql.positions`.

https://mariadb.com/kb/en/xa-transactions/

    XA_PREPARE   one phase:u8 format:u32 size of gtrid:u32 size of bqual:u32 gtrid bqual
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cdc.mysql.events import Reader
from tailrace.errors import DecodeError, JournalFull

PREPARED_MAX = 500
"""XA transactions prepared at once. Each stands in the journal's position and may hold a file."""
MEMORY_BYTES = 256 << 10
"""Of one prepared transaction; what is beyond is in its file."""

_STATEMENT = re.compile(
    r"\s*xa\s+(start|begin|end|commit|rollback)\s+"
    r"x'([0-9a-f]*)'\s*,\s*x'([0-9a-f]*)'\s*,\s*(\d+)\s*(one\s+phase)?\s*\Z",
    re.IGNORECASE,
)
_ENTRY = struct.Struct("<IBbI")  # index of the table, kind, `replaces`, size
_UNTOLD = -1

Kept = tuple[Any, int, memoryview, bool | None]
"""(table, kind, body, `replaces`) as given to `Held.add`."""


@dataclass(frozen=True, slots=True)
class Xid:
    """An XA transaction's identity, which applications give and may use again."""

    format: int
    gtrid: bytes
    bqual: bytes

    def __str__(self) -> str:
        """As statements have it."""
        return f"X'{self.gtrid.hex()}',X'{self.bqual.hex()}',{self.format}"


def statement(text: str) -> tuple[str, Xid]:
    """(start, end, commit or rollback; of which). Errors: DecodeError."""
    matched = _STATEMENT.match(text)
    if matched is None or matched[5]:
        raise DecodeError("an XA statement that is not understood")
    verb = matched[1].lower()
    gtrid, bqual = matched[2], matched[3]
    if len(gtrid) % 2 or len(bqual) % 2:
        raise DecodeError("an XA statement that is not understood")
    identity = Xid(int(matched[4]), bytes.fromhex(gtrid), bytes.fromhex(bqual))
    return "start" if verb == "begin" else verb, identity


def prepare(body: memoryview) -> tuple[Xid, bool]:
    """(what was prepared, whether that also committed it). Errors: DecodeError."""
    reader = Reader(body)
    one_phase, format_, gtrid, bqual = (reader.number(size) for size in (1, 4, 4, 4))
    return Xid(format_, reader.take(gtrid), reader.take(bqual)), bool(one_phase)


class Held:
    """The rows events of one prepared transaction, in the order of the log.

    `origin`: as in `cdc.changes.TRANSACTIONS`. Errors of all methods: JournalFull.
    """

    def __init__(self) -> None:
        self.origin: str | None = None
        self.events = 0
        self._tables: list[Any] = []
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115

    def add(self, table: Any, kind: int, body: memoryview, replaces: bool | None) -> None:
        """Keep the body of a rows event of kind `kind`; `table` is its `_rows.RowTable` now, and
        `replaces` what its statement is, see `cdc.mysql.transaction`."""
        if not self._tables or self._tables[-1] is not table:
            self._tables.append(table)
        self.events += 1
        try:
            told = _UNTOLD if replaces is None else int(replaces)
            self._file.write(_ENTRY.pack(len(self._tables) - 1, kind, told, len(body)))
            self._file.write(body)
        except OSError as error:
            raise _full(error) from error

    def again(self) -> Iterator[Kept]:
        """Each; closed behind the last."""
        try:
            self._file.seek(0)
            while head := self._file.read(_ENTRY.size):
                table, kind, told, size = _ENTRY.unpack(head)
                body = memoryview(self._file.read(size))
                yield self._tables[table], kind, body, None if told == _UNTOLD else bool(told)
        except OSError as error:
            raise _full(error) from error
        self.close()

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        """A decoder may end with transactions still prepared."""
        self._file.close()


def _full(error: OSError) -> JournalFull:
    return JournalFull(
        f"the rows of a prepared XA transaction cannot be kept: {error.strerror}",
        where={"directory": tempfile.gettempdir()},
        fix="make room there, or name another directory in the environment variable TMPDIR",
    )
