"""Is this server ready to be a source? Looked at before anything is created; creates nothing.

Each check is a function from what was looked up once to findings; `_CHECKS` holds them in the
order in which an operator mends them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import closing

from cdc.findings import Finding
from cdc.postgres.catalog import read_names
from cdc.postgres.look import Look, look
from cdc.postgres.preflight_tables import TABLE_CHECKS
from cdc.postgres.publication import PUBLISHED, create_statement, listed
from cdc.postgres.session import connect, connect_replication, quoted, translated
from cdc.postgres.settings import PostgresSource
from cdc.postgres.slot import PLUGIN
from cdc.sizes import format_bytes
from tailrace.errors import SourceUnavailable

OLDEST = 140000
"""PostgreSQL 14 is the oldest version that still gets fixes, and the oldest we test."""

_RESTART = "  -- then restart the server"
_RELOAD = " SELECT pg_reload_conf();"


def inspect(source: PostgresSource, name: str) -> list[Finding]:
    """Everything found wrong; `name` is the default of slot and publication.

    Errors: SourceUnavailable when nothing can be looked at.
    """
    with closing(connect(source.url)) as connection:
        version = connection.info.server_version
        if version < OLDEST:
            return [_too_old(version)]
        with translated("looking at the source"):
            if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
                return [_standby()]
            seen = look(connection, source, name)
            return [finding for check in _CHECKS for finding in check(seen)]


def _too_old(version: int) -> Finding:
    return Finding(
        "error",
        f"PostgreSQL {version // 10000} is not supported; 14 is the oldest",
        "server",
        "-- upgrade the server",
    )


def _standby() -> Finding:
    return Finding(
        "error",
        "the server is a standby; its log is read at the primary",
        "server",
        "-- write the primary's address into the source's url",
    )


def _wal_level(seen: Look) -> Iterator[Finding]:
    if seen.settings["wal_level"] != "logical":
        yield Finding(
            "error",
            f"wal_level is {seen.settings['wal_level']}; row changes are not in the log",
            "setting wal_level",
            "ALTER SYSTEM SET wal_level = 'logical';" + _RESTART,
        )


def _free_places(seen: Look) -> Iterator[Finding]:
    """Unless we hold ours already. While the slot is made there are two of them."""
    holds_sender = seen.slot is not None and seen.slot.active_pid is not None
    for setting, used, wanted in (
        ("max_replication_slots", seen.slots_used, 0 if seen.slot else 2),
        ("max_wal_senders", seen.senders_used, 0 if holds_sender else 1),
    ):
        most = int(seen.settings[setting])
        if used + wanted > most:
            yield Finding(
                "error",
                f"{used} of {most} {setting} are in use; Tailrace starts with {wanted} more",
                f"setting {setting}",
                f"ALTER SYSTEM SET {setting} = {most + 4};" + _RESTART,
            )


def _may_replicate(seen: Look) -> Iterator[Finding]:
    try:
        with closing(connect_replication(seen.source.url)) as replication:
            replication.execute("IDENTIFY_SYSTEM")
    except SourceUnavailable as error:
        if seen.role.replicates:
            yield Finding(
                "error",
                f"no replication connection: {error.what}",
                f"role {seen.role.name}",
                "-- see pg_hba.conf, max_wal_senders and the server's log",
            )
        else:
            yield Finding(
                "error",
                "the role may not replicate",
                f"role {seen.role.name}",
                f"ALTER ROLE {quoted(seen.role.name)} REPLICATION;"
                f"  -- Amazon RDS: GRANT rds_replication TO {quoted(seen.role.name)};",
            )


def _encoding(seen: Look) -> Iterator[Finding]:
    if seen.encoding == "SQL_ASCII":
        yield Finding(
            "error",
            "the database's encoding is SQL_ASCII: its text may be in any encoding",
            f"database {seen.database}",
            "-- dump the database and restore it into one with ENCODING 'UTF8'",
        )


def _existing_slot(seen: Look) -> Iterator[Finding]:
    slot = seen.slot
    if slot is None:
        return
    if slot.plugin != PLUGIN or slot.database != seen.database:
        yield Finding(
            "error",
            f"a slot of this name exists, of {slot.plugin or 'physical replication'}"
            + (f" in database {slot.database}" if slot.database else ""),
            f"slot {slot.name}",
            "-- name another `slot:` in the source",
        )
    elif slot.lost is not None:
        yield Finding(
            "error",
            f"the server has given our slot up ({slot.lost}): changes are lost to us",
            f"slot {slot.name}",
            f"SELECT pg_drop_replication_slot('{slot.name}');"
            "  -- by: tailrace remove SOURCE --journal; a new snapshot follows",
        )


def _retention(seen: Look) -> Iterator[Finding]:
    kept_mb = int(seen.settings["max_slot_wal_keep_size"])
    wanted_mb = (2 * seen.source.retain_max) >> 20
    fix = f"ALTER SYSTEM SET max_slot_wal_keep_size = '{wanted_mb}MB';" + _RELOAD
    if kept_mb == -1:
        yield Finding(
            "warning",
            "max_slot_wal_keep_size is unlimited: a slot that is not read can fill the disk",
            "setting max_slot_wal_keep_size",
            fix,
        )
    elif kept_mb << 20 < seen.source.retain_max:
        yield Finding(
            "warning",
            f"the server gives a slot up at {format_bytes(kept_mb << 20)}, before retain_max"
            f" ({format_bytes(seen.source.retain_max)}) is reached",
            "setting max_slot_wal_keep_size",
            fix,
        )
    if int(seen.settings.get("idle_replication_slot_timeout", "0")) > 0:
        yield Finding(
            "warning",
            "the server gives up slots that stay unread for idle_replication_slot_timeout",
            "setting idle_replication_slot_timeout",
            "ALTER SYSTEM SET idle_replication_slot_timeout = 0;" + _RELOAD,
        )


def _server_settings(seen: Look) -> Iterator[Finding]:
    if int(seen.settings["wal_sender_timeout"]) == 0:
        yield Finding(
            "warning",
            "wal_sender_timeout is off: a broken connection keeps the slot in use",
            "setting wal_sender_timeout",
            "ALTER SYSTEM SET wal_sender_timeout = '60s';" + _RELOAD,
        )


def _prepared_transactions(seen: Look) -> Iterator[Finding]:
    if seen.slot is None and seen.prepared_old:
        yield Finding(
            "warning",
            f"{seen.prepared_old} prepared transactions are older than a minute: making the slot"
            " waits for their end",
            "pg_prepared_xacts",
            "SELECT gid, prepared, owner, database FROM pg_prepared_xacts;"
            "  -- COMMIT PREPARED or ROLLBACK PREPARED each",
        )


def _patterns(seen: Look) -> Iterator[Finding]:
    unmatched = seen.source.patterns.without_match([table.name for table in seen.relations])
    if not unmatched:
        return
    names = [str(name) for name in read_names(seen.connection)]
    for pattern in unmatched:
        near = difflib.get_close_matches(pattern.text.lower(), names, 3, 0.7)
        yield Finding(
            "error",
            f"the pattern {pattern.text} names no table",
            "tables",
            "-- correct `tables:` in the source"
            + (f"; there is {', '.join(near)}" if near else ""),
        )


def _publication(seen: Look) -> Iterator[Finding]:
    found, tables = seen.publication, seen.publishable
    if found is not None:
        yield from _publication_as_found(seen)
    elif tables and seen.source.publication is not None:
        yield Finding(
            "error",
            "the publication does not exist",
            f"publication {seen.publication_name}",
            create_statement(seen.publication_name, tables) + ";",
        )
    elif tables and not _may_publish(seen):
        yield Finding(
            "error",
            "Tailrace cannot make the publication: that takes CREATE on the database and"
            " ownership of the tables, which our role need not have",
            f"role {seen.role.name}",
            create_statement(seen.publication_name, tables) + ";",
        )


def _may_publish(seen: Look) -> bool:
    owned = all(seen.role.owns[table.oid] for table in seen.publishable)
    return seen.role.superuser or (owned and seen.role.creates)


def _publication_as_found(seen: Look) -> Iterator[Finding]:
    found = seen.publication
    assert found is not None
    if seen.source.publication is None and found.owned and seen.slot is None and _may_publish(seen):
        return  # ours, left by an attempt that died: the first snapshot makes it anew
    where, name = f"publication {found.name}", quoted(found.name)
    if found.lacking:
        yield Finding(
            "error",
            f"the publication does not publish {', '.join(found.lacking)}",
            where,
            f"ALTER PUBLICATION {name} SET (publish = '{PUBLISHED}');",
        )
    roots = [table.name for table in seen.capturable if table.kind == "partitioned"]
    if roots and not found.via_root:
        yield Finding(
            "error",
            f"{roots[0]} is partitioned, and the publication sends each partition by itself",
            where,
            f"ALTER PUBLICATION {name} SET (publish_via_partition_root = true);",
        )
    for table in seen.publishable:
        hidden = table.kind == "partitioned" and not found.via_root
        if table.published is None and not hidden:
            yield Finding(
                "error",
                f"the publication {found.name} does not have the table",
                str(table.name),
                f"ALTER PUBLICATION {name} ADD TABLE {listed(table)};",
            )


_CHECKS: tuple[Callable[[Look], Iterator[Finding]], ...] = (
    _wal_level,
    _free_places,
    _may_replicate,
    _encoding,
    _existing_slot,
    _patterns,
    *TABLE_CHECKS,
    _publication,
    _retention,
    _server_settings,
    _prepared_transactions,
)
