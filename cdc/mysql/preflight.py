"""Is this server ready to be a source? Looked at before anything is read; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cdc.findings import Finding
from cdc.mysql import tablemap as tm
from cdc.mysql.catalog import CatalogTable, read_charsets, read_tables
from cdc.mysql.names import quoted_table
from cdc.mysql.product import Product
from cdc.mysql.products import product_of
from cdc.mysql.quiet import LIST, WAIT_S, prepared
from cdc.mysql.session import Connection, query
from cdc.mysql.settings import BinlogSource
from cdc.mysql.versions import numbers
from cdc.schema import TableName
from tailrace.errors import TailraceError

SNAPSHOT_ROWS_PER_S = 100_000
"""Rows that a snapshot copies in a second, at a careful guess (180,000 of the bench's)."""
SNAPSHOT_MARGIN = 4
KEPT_MIN_S = 24 * 3600
"""An outage of capture that a log should outlast, whatever a snapshot takes."""

METADATA = "binlog_row_metadata"
ANNOTATED = "binlog_annotate_row_events"
_WARNED_OF = frozenset({METADATA, "gtid_strict_mode"})


def inspect(
    connection: Connection, settings: BinlogSource
) -> tuple[list[Finding], list[CatalogTable]]:
    """(everything found wrong, the tables that can be captured). Errors: SourceUnavailable."""
    version = str(query(connection, "select version()")[0][0])
    product = product_of(settings)
    findings = list(_server(connection, version, product))
    if any(finding.where == "version" for finding in findings):
        return findings, []
    findings += _rights(connection, product)
    tables, refused = read_tables(connection, settings.patterns, read_charsets(connection))
    findings += [_of(error) for error in refused]
    if not tables and not refused:
        findings.append(
            Finding(
                "error",
                "no table that this user may see has a name that `tables` asks for",
                "tables",
                "-- correct `tables`, or GRANT SELECT on them",
            )
        )
    findings += _cascades(connection, tables)
    findings += _partial_images(connection, tables)
    findings += _withheld(tables)
    nameless = variables(connection, METADATA).get(METADATA) != "FULL"
    if nameless:
        findings += _unshown_labels(tables)
    if product.name == "MariaDB":
        findings += _two_phases(connection)
        if nameless:
            findings += _hidden_columns(connection, tables)
    findings += _retention(connection, sum(table.rows_estimated for table in tables))
    return findings, tables


def _server(connection: Connection, version: str, product: Product) -> Iterator[Finding]:
    oldest = ".".join(map(str, product.oldest))
    if not product.is_version(version):
        other = "mysql" if product.name == "MariaDB" else "mariadb"
        yield Finding(
            "error", f"this server is {version}, which is no {product.name}", "version",
            f"-- declare the source with type: {other}",
        )  # fmt: skip
        return
    if numbers(version) < product.oldest:
        yield Finding(
            "error", f"this server is {version}; read is {product.name} from {oldest} on",
            "version", "-- use a newer server, or a replica of one",
        )  # fmt: skip
        return
    found = variables(connection, "log_bin", "server_id", *product.wanted)
    if found["log_bin"] != "ON":
        yield Finding(
            "error", "the server writes no binary log", "log_bin",
            "-- log_bin = binlog in the server's configuration, then restart the server",
        )  # fmt: skip
    if found["server_id"] == "0":
        yield Finding("error", "a server without number serves no log", "server_id",
                      "SET GLOBAL server_id = 1;")  # fmt: skip
    for name, (wanted, why) in product.wanted.items():
        if found.get(name, wanted) != wanted:
            yield Finding(
                "warning" if name in _WARNED_OF else "error",
                f"{name} is {found[name]}: {why}",
                name,
                f"SET GLOBAL {name} = {wanted or repr('')};  -- and in the server's configuration",
            )


def variables(connection: Connection, *names: str) -> dict[str, str]:
    """The server's settings of these names, by name; those it has."""
    rows = query(connection, "show global variables where variable_name in %s", names)
    return {name.lower(): value for name, value in rows}


def _rights(connection: Connection, product: Product) -> Iterator[Finding]:
    grants = " ".join(row[0] for row in query(connection, "show grants")).upper()
    if "ALL PRIVILEGES ON *.*" in grants:
        return
    for names in product.rights:
        if not any(name in grants for name in names):
            fix = f"GRANT {names[0]} ON *.* TO CURRENT_USER;"
            yield Finding("error", f"our user lacks {names[0]}", "grants", fix)


def _partial_images(connection: Connection, tables: list[CatalogTable]) -> Iterator[Finding]:
    """What rows leave out is unchanged or a default, but not where a column is computed."""
    image = variables(connection, "binlog_row_image").get("binlog_row_image", "FULL").upper()
    if image == "FULL":
        return
    fix = "SET GLOBAL binlog_row_image = FULL;  -- and in the server's configuration"
    if image != "FULL_NODUP":  # which has inserted rows in full
        yield Finding(
            "warning",
            f"binlog_row_image is {image}: rows leave out what is unchanged, and defaults; an"
            " insert whose default is not known for sure (a TIMESTAMP's, say) stops capture",
            "binlog_row_image",
            fix,
        )
    if variables(connection, ANNOTATED).get(ANNOTATED, "ON") != "ON":
        yield Finding(
            "warning",
            f"binlog_row_image is {image}, and the log does not say statements: a REPLACE then"
            " cannot be told from an update, which stops capture",
            ANNOTATED,
            f"SET GLOBAL {ANNOTATED} = ON;  -- and in the server's configuration",
        )
    for table in tables:
        if names := [column.name for column in table.columns if column.virtual]:
            yield Finding(
                "error",
                f"binlog_row_image is {image}, so updates do not say what {', '.join(names)} of"
                f" {table.name}, which is computed, has become",
                str(table.name),
                fix,
            )


def _withheld(tables: list[CatalogTable]) -> Iterator[Finding]:
    for table in tables:
        if table.withheld:
            yield Finding(
                "warning",
                "has computed columns, which this server logs of inserted rows only; they are not"
                f" captured: {', '.join(table.withheld)}",
                str(table.name),
                "-- compute them in a mapping, or at the target",
            )


def _two_phases(connection: Connection) -> Iterator[Finding]:
    """What was prepared and forgotten keeps a first snapshot from beginning.

    MySQL shows them to few users; there the snapshot's lock waits for them.
    """
    if found := prepared(connection):
        yield Finding(
            "warning",
            f"{found} XA transactions are prepared; a first snapshot waits {WAIT_S:.0f} s for their"
            " end, and a position is held back by them for as long as they are",
            "xa",
            f"{LIST};  -- then XA COMMIT or XA ROLLBACK what was left behind",
        )


def _unshown_labels(tables: list[CatalogTable]) -> Iterator[Finding]:
    """A catalog has question marks for characters beyond U+FFFF, a log with names what they are."""
    for table in tables:
        for column in table.map.columns:
            if column.labels and column.more & tm.UNSHOWN_LABELS:
                yield Finding(
                    "error",
                    f"a label of column {column.name} has a question mark, which in the catalog may"
                    " stand for a character beyond U+FFFF; only a log with names tells",
                    str(table.name),
                    f"SET GLOBAL {METADATA} = FULL;  -- and in the server's configuration",
                )


def _hidden_columns(connection: Connection, tables: list[CatalogTable]) -> Iterator[Finding]:
    """MariaDB keeps such an index by a column DB_ROW_HASH_n, which only a log with names tells from
    the others."""
    hashed = {
        TableName(schema, table)
        for schema, table in query(
            connection,
            "select table_schema, table_name from information_schema.statistics"
            " join information_schema.tables using (table_schema, table_name)"
            " where index_type = 'HASH' and engine <> 'MEMORY'",
        )
    }
    for table in tables:
        if table.name in hashed:
            yield Finding(
                "error",
                "has a UNIQUE index by hash (of a whole TEXT or BLOB, or USING HASH): its rows have"
                " one column more in the log than in the catalog, which only names tell",
                str(table.name),
                f"SET GLOBAL {METADATA} = FULL;  -- and in the server's configuration",
            )


_ACTION = re.compile(
    r"^\s*CONSTRAINT `((?:[^`]|``)+)` FOREIGN KEY .* ON (DELETE|UPDATE) (CASCADE|SET [A-Z]+)", re.M
)


def _cascades(connection: Connection, tables: list[CatalogTable]) -> Iterator[Finding]:
    """What a foreign key's action does to other rows stands in no log of rows.

    The statements are asked, since information_schema hides foreign keys from who may only SELECT.
    """
    for table in tables:
        ((_, statement, *_),) = query(connection, f"show create table {quoted_table(table.name)}")
        for name, event, action in _ACTION.findall(statement):
            yield Finding(
                "warning",
                f"foreign key {name} acts by itself (ON {event} {action}); what it changes is not"
                " logged, so the copy must be reconciled",
                str(table.name),
                f"-- give the target's {table.name.name} the same foreign key, or reconcile it",
            )


def _retention(connection: Connection, rows: int) -> Iterator[Finding]:
    """Whether the log of the first snapshot's time is still there when it has been copied."""
    found = variables(connection, "binlog_expire_logs_seconds", "expire_logs_days")
    kept_s = float(found.get("binlog_expire_logs_seconds") or 0)
    kept_s = kept_s or float(found.get("expire_logs_days") or 0) * 86_400
    needed_s = max(KEPT_MIN_S, SNAPSHOT_MARGIN * rows / SNAPSHOT_ROWS_PER_S)
    if kept_s == 0 or kept_s >= needed_s:  # 0: for ever
        return
    setting = "binlog_expire_logs_seconds"
    value = round(needed_s)
    if setting not in found:
        setting, value = "expire_logs_days", max(1, -(-value // 86_400))
    yield Finding(
        "warning",
        f"the server keeps its log for {kept_s / 3600:.1f} hours; a first snapshot of some {rows:,}"
        f" rows, or an outage of capture, may take {needed_s / 3600:.1f}",
        setting,
        f"SET GLOBAL {setting} = {value};  -- and in the server's configuration",
    )


def _of(error: TailraceError) -> Finding:
    return Finding("error", error.what, str(error.where.get("table", "tables")), f"-- {error.fix}")
