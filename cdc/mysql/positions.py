"""Where in a server's log: by the transactions that have been read whole, not by file and byte,
since a promoted replica has the same transactions in files of its own. Pure.
"""

from __future__ import annotations

from cdc.mysql.events import Gtid


class Position:
    """Where in the log: the last transaction of each domain, as ``gtid_slave_pos`` has it."""

    def __init__(self, text: str = "") -> None:
        """Errors: ValueError."""
        found = [Gtid.parse(part.strip()) for part in text.split(",") if part.strip()]
        self._last = {gtid.domain: gtid for gtid in found}

    def holds(self, gtid: Gtid) -> bool:
        last = self._last.get(gtid.domain)
        return last is not None and gtid.sequence <= last.sequence

    def advance(self, gtid: Gtid) -> None:
        self._last[gtid.domain] = gtid

    @property
    def gtids(self) -> list[Gtid]:
        return [self._last[domain] for domain in sorted(self._last)]

    def __str__(self) -> str:
        return ",".join(map(str, self.gtids))
