"""A net effect into one table of a file, as sets; how a set is written is the engine's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyarrow as pa

from sinks.embedded.session import Codec, Engine
from sinks.embedded.statements import Statements
from sinks.netting import Net, by_missing
from tailrace.failpoints import failpoint
from transforms.rows import TargetTable


class SetWriter(ABC):
    """As `sinks.applying.Writer`."""

    def __init__(self, engine: Engine, table: TargetTable, codec: Codec) -> None:
        self._engine = engine
        self._table = table
        self._sql = Statements(engine, table, codec)

    def delete(self, net: Net) -> int:
        if net.deletes is None:
            return 0
        with self._engine.translated("writing", table=str(self._table.table)):
            self._delete(net.deletes)
        return len(net.deletes[0]) - net.implied

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        written = 0
        with self._engine.translated("writing", table=str(self._table.table)):
            for rows, must_exist in ((net.upserts, True), (net.patches, False)):
                for missing, part in by_missing(rows) if rows is not None else ():
                    if must_exist and not missing:
                        self._put(part.columns)
                    else:
                        self._update(missing, part.columns, must_exist)
                    written += part.count
        failpoint("deliver.staged")
        return written

    @abstractmethod
    def _delete(self, keys: Sequence[pa.Array]) -> None:
        """Rows with these keys."""

    @abstractmethod
    def _put(self, columns: Sequence[pa.Array]) -> None:
        """Whole rows, there or not."""

    @abstractmethod
    def _update(
        self, missing: tuple[int, ...], columns: Sequence[pa.Array], must_exist: bool
    ) -> None:
        """Rows without their `missing` columns. Errors: `diverged` where one that `must_exist` is
        not there."""
