"""A PostgreSQL database as a source: what capture calls, made of the parts beside this file."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import closing

from cdc.changes import BYTES_MAX, ROWS_MAX, ChangeSet
from cdc.findings import refuse_errors
from cdc.order import NO_NEEDS, Needs
from cdc.postgres.catalog import CatalogTable, read_tables
from cdc.postgres.continuity import (
    IDENTITY,
    Identity,
    check_continuity,
    check_published,
    read_identity,
)
from cdc.postgres.decode import CopyDecoder, PgoutputDecoder, Relation
from cdc.postgres.describe import describe
from cdc.postgres.lsn import format_lsn, parse_lsn
from cdc.postgres.order import parents_first
from cdc.postgres.preflight import inspect
from cdc.postgres.publication import Publication, create_publication, read_publication
from cdc.postgres.session import Connection, connect, connect_replication, translated
from cdc.postgres.settings import PostgresSource
from cdc.postgres.slot import (
    NewSlot,
    create_slot,
    drop_slot,
    emit_heartbeat,
    keep_slot,
    read_slot,
)
from cdc.postgres.snapshot import SnapshotReader
from cdc.postgres.stream import ReplicationStream
from cdc.protocol import START_OVER, SnapshotProgress, SourceState
from cdc.schema import TableSchema
from tailrace.errors import ContinuityError, PreflightError

log = logging.getLogger("tailrace.postgres")


class Postgres:
    """Implements `cdc.protocol.Source`. `name` is the default of slot and publication.
    `needs`: the order of a snapshot.

    Errors of every method: SourceUnavailable.
    """

    def __init__(self, settings: PostgresSource, name: str, *, needs: Needs = NO_NEEDS) -> None:
        self._settings = settings
        self._needs = needs
        self._slot = settings.slot or name
        self._publication = settings.publication or name
        self._name = name
        self._connection = connect(settings.url)
        self._identity: Identity | None = None

    @property
    def _tables(self) -> dict[str, int]:
        return {} if self._identity is None else self._identity.tables

    def verify(self, facts: Mapping[str, str], position: str) -> None:
        """Errors: ContinuityError, also where the project now names another slot."""
        if IDENTITY not in facts:
            raise ContinuityError("the journal does not say which source it is of", fix=START_OVER)
        stored = Identity.from_json(facts[IDENTITY])
        if (stored.slot, stored.publication) != (self._slot, self._publication):
            raise ContinuityError(
                "the journal belongs to another slot or publication than the project names",
                where={"slot": stored.slot, "publication": stored.publication},
                fix=f"name these again, or {START_OVER}",
            )
        check_continuity(self._connection, stored, position)
        self._identity = stored
        self._warn_of_new_tables()

    def _warn_of_new_tables(self) -> None:
        with translated("reading the catalog"):
            named = read_tables(self._connection, self._settings.patterns)
        new = [
            str(table.name)
            for table in named
            if table.is_capturable and str(table.name) not in self._tables
        ]
        if new:
            log.warning(
                "tables are not captured, since they were not there at the first snapshot",
                extra={"tables": new, "fix": START_OVER},
            )

    def snapshot(self, previous: Mapping[str, str]) -> PostgresSnapshot:
        """Errors: PreflightError; nothing was created then."""
        self._drop_remains(previous)
        refuse_errors(inspect(self._settings, self._name))
        if read_slot(self._connection, self._slot) is not None:
            raise PreflightError(
                "a replication slot of this name exists, and this journal did not make it",
                where={"slot": self._slot},
                fix="if no other Tailrace uses it: tailrace remove SOURCE; else name another slot",
            )
        publication = self._ensure_publication()
        opened = PostgresSnapshot(
            self._settings, self._slot, publication, self._connection, self._needs
        )
        self._identity = opened.identity
        return opened

    def _drop_remains(self, previous: Mapping[str, str]) -> None:
        """The slot of an attempt that died, if the server is still the one it was made at."""
        if IDENTITY not in previous:
            return
        remains = Identity.from_json(previous[IDENTITY])
        with translated("reading the server's identity"):
            row = self._connection.execute(
                "select system_identifier::text from pg_control_system()"
            ).fetchone()
        if row == (remains.system,):
            drop_slot(self._connection, remains.slot)

    def _ensure_publication(self) -> Publication:
        found = read_publication(self._connection, self._publication)
        if self._settings.publication is None and (found is None or found.owned):
            with translated("reading the catalog"):
                tables = read_tables(self._connection, self._settings.patterns)
            create_publication(self._connection, self._publication, _capturable(tables))
            found = read_publication(self._connection, self._publication)
        assert found is not None  # the preflight saw it
        return found

    def stream(self, position: str) -> ReplicationStream:
        """After `verify` or `snapshot`, which say what is captured."""
        assert self._identity is not None
        start = parse_lsn(position)
        return ReplicationStream(
            connect_replication(self._settings.url, decoding_bytes=self._settings.decoding_memory),
            PgoutputDecoder(self._describe, resume=start),
            slot=self._slot,
            publication=self._publication,
            start=start,
        )

    def _describe(self, relation: Relation) -> TableSchema | None:
        """A captured table's schema; None for others (partitions, tables added later)."""
        name = str(relation.table)
        if self._tables.get(name) == relation.oid:
            return describe(self._connection, relation)
        if name in self._tables:
            raise ContinuityError(
                "a table was dropped and made anew", where={"table": name}, fix=START_OVER
            )
        if relation.oid in self._tables.values():
            raise ContinuityError(
                "a captured table was renamed", where={"table": name}, fix=START_OVER
            )
        return None

    def heartbeat(self) -> None:
        emit_heartbeat(self._connection)

    def state(self) -> SourceState:
        """Errors: ContinuityError where the slot is gone, or a table has left the publication."""
        if self._identity is not None:
            check_published(self._connection, self._identity)
        slot = read_slot(self._connection, self._slot)
        if slot is None:
            raise ContinuityError("the slot is gone", where={"slot": self._slot}, fix=START_OVER)
        return SourceState(
            position=format_lsn(slot.current),
            lag_bytes=slot.lag_bytes,
            held_bytes=slot.held_bytes,
            room_bytes=slot.room_bytes,
        )

    def give_up(self) -> None:
        drop_slot(self._connection, self._slot)

    def close(self) -> None:
        self._connection.close()


class PostgresSnapshot:
    """Implements `cdc.protocol.Snapshot`.

    The slot lives with our connection until `changes` begins: the caller has stored `facts` by
    then, so that no slot can be left behind of which no journal knows.
    """

    def __init__(
        self,
        settings: PostgresSource,
        slot: str,
        publication: Publication,
        connection: Connection,
        needs: Needs,
    ) -> None:
        self._slot = slot
        self._connection = connection
        self._taken_us = int(time.time() * 1_000_000)
        self._replication = connect_replication(settings.url)
        try:
            self._new: NewSlot = create_slot(self._replication, slot, connection)
            self._reader = SnapshotReader(settings.url, self._new.snapshot)
        except BaseException:
            self._replication.close()
            raise
        with translated("reading the catalog"):
            named = read_tables(self._reader.connection, settings.patterns, publication.name)
        self._tables = parents_first(_capturable(named), needs)
        self.identity = read_identity(connection, slot, publication, self._tables)

    @property
    def position(self) -> str:
        return self._new.position

    @property
    def facts(self) -> Mapping[str, str]:
        return {IDENTITY: self.identity.to_json()}

    def changes(self) -> Iterator[tuple[ChangeSet, SnapshotProgress]]:
        keep_slot(self._connection, self._new, self._slot)
        self._replication.close()
        for table in self._tables:
            yield from self._changes_of(table)

    def _changes_of(self, table: CatalogTable) -> Iterator[tuple[ChangeSet, SnapshotProgress]]:
        estimate = self._reader.estimate(table)
        decoder = CopyDecoder(table.schema, self.position, self._taken_us)
        copied, held_bytes = -1, 0  # the first set begins with a TRUNCATE

        def taken(*, complete: bool) -> tuple[ChangeSet, SnapshotProgress]:
            nonlocal copied, held_bytes
            copied, held_bytes = copied + decoder.rows, 0
            progress = SnapshotProgress(str(table.name), copied, max(estimate, copied))
            return decoder.take(complete=complete), progress

        with closing(self._reader.rows(table)) as chunks:
            for chunk in chunks:
                decoder.feed(chunk, 0, len(chunk))
                held_bytes += len(chunk)
                if decoder.rows >= ROWS_MAX or held_bytes >= BYTES_MAX:
                    yield taken(complete=False)
        yield taken(complete=True)

    def close(self) -> None:
        self._reader.close()
        self._replication.close()


def _capturable(tables: list[CatalogTable]) -> list[CatalogTable]:
    return [table for table in tables if table.is_capturable]
