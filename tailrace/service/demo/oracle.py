"""What every target table must hold, said once more by hand in plain SQL over the source.

Independent of the mappings: nothing here goes through Tailrace. PostgreSQL computes what is
expected at the source; both sides are read in key order, as the text PostgreSQL prints, and
compared row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from tailrace.errors import TailraceError


@dataclass(frozen=True, slots=True)
class Expected:
    """`query` runs at the source; its columns are named as those of the target's `table`."""

    schema: str
    table: str
    key: tuple[str, ...]
    query: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


EXPECTED = (
    Expected(
        *("raw", "zahlungsbedingungen", ("zb_code",)),
        "select zb_code, beschreibung from erp.zahlungsbedingungen",
    ),
    Expected(
        *("hub", "customer", ("customer_no",)),
        """
        select 'C-' || rtrim(kdnr) as customer_no,
            trim(name1 || ' ' || coalesce(name2, '')) as name,
            ort as city,
            case when kz_status = 'A' then 'active' when kz_status = 'S' then 'blocked'
                when kz_status in ('I', 'X') then 'inactive'
                when kz_status is null or kz_status = '' then 'prospect' end as status,
            replace(replace(kreditlimit, '.', ''), ',', '.')::numeric(12,2) as credit_limit,
            coalesce(newsletter, 'N') = 'J' as newsletter,
            case when angelegt <> '00000000' then to_date(angelegt, 'YYYYMMDD') end
                as customer_since,
            rtrim(zb_code) as payment_terms
        from erp.kunden where mandant = 1""",
    ),
    Expected(
        *("hub", "product", ("product_no",)),
        """
        select artnr as product_no, bezeichnung as name, rtrim(warengruppe) as "group",
            preis as price, gesperrt = 'J' as discontinued, langtext as description
        from erp.artikel""",
    ),
    Expected(
        *("hub", "order", ("order_no",)),
        """
        select 'O-' || auftrnr as order_no,
            'C-' || rtrim(kdnr) as customer_no,
            case status when '10' then 'entered' when '20' then 'confirmed'
                when '30' then 'shipped' when '40' then 'invoiced' end as status,
            to_date(datum, 'YYYYMMDD') as ordered_on,
            case when liefertermin not in ('00000000', '99991231')
                then to_date(liefertermin, 'YYYYMMDD') end as deliver_by,
            rtrim(waehrung) as currency,
            bemerkung as note
        from erp.auftraege where mandant = 1 and status <> '90'""",
    ),
    Expected(
        *("hub", "order_line", ("order_no", "line_no")),
        """
        select 'O-' || auftrnr as order_no, posnr as line_no, artnr as product_no,
            menge as quantity, preis as price, 'erp' as system
        from erp.positionen""",
    ),
)
KEYS_SHOWN_MAX = 5
_PRINT_ALIKE = "-c DateStyle=ISO -c TimeZone=UTC -c extra_float_digits=1"

Connection = psycopg.Connection[tuple[object, ...]]
Row = tuple[tuple[bytes, ...], tuple[str | None, ...]]
"""Key, as its columns' bytes; and all columns, as text."""


@dataclass(slots=True)
class Comparison:
    """`rows`: distinct keys on either side. `keys`: some of the different, as table and key."""

    rows: int = 0
    different: int = 0
    keys: list[str] = field(default_factory=list)

    def differs(self, table: object, key: tuple[bytes, ...]) -> None:
        self.different += 1
        if len(self.keys) < KEYS_SHOWN_MAX:
            self.keys.append(f"{table} {' / '.join(part.decode() for part in key)}")


def compare(source_url: str, target_url: str, others: Sequence[str] = ()) -> Comparison:
    """Compare every row of every target table with what the source says it must be.

    `others` are tables that the target has beside these.
    Errors: TailraceError where the target has other tables or columns than are expected.
    """
    result = Comparison()
    with (
        psycopg.connect(source_url, options=_PRINT_ALIKE) as source,
        psycopg.connect(target_url, options=_PRINT_ALIKE) as target,
    ):
        _same_tables(target, others)
        for table in EXPECTED:
            found = sql.Identifier(table.schema, table.table)
            wanted = sql.SQL("({})").format(sql.SQL(table.query))
            columns = _columns(source, wanted)
            if sorted(columns) != sorted(_columns(target, found)):
                raise TailraceError(
                    "the target's columns are not the expected ones", where={"table": str(table)}
                )
            _merge(
                table,
                _ordered(source, wanted, table, columns),
                _ordered(target, found, table, columns),
                result,
            )
    return result


def _same_tables(target: Connection, others: Sequence[str]) -> None:
    rows = target.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema not in ('pg_catalog', 'information_schema', 'tailrace')"
    )
    found = {str(name) for (name,) in rows}
    if found != {str(table) for table in EXPECTED} | set(others):
        raise TailraceError(f"the target's tables are not the expected ones: {sorted(found)}")


def _columns(connection: Connection, rows: sql.Composable) -> list[str]:
    cursor = connection.execute(sql.SQL("select * from {} as q limit 0").format(rows))
    assert cursor.description is not None
    return [column.name for column in cursor.description]


def _ordered(
    connection: Connection, rows: sql.Composable, table: Expected, columns: list[str]
) -> Iterator[Row]:
    """In the order of the key's bytes, the same on every server whatever its collation."""
    query = sql.SQL("copy (select {} from {} as q order by {}) to stdout").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        rows,
        sql.SQL(", ").join(
            sql.SQL('{}::text collate "C"').format(sql.Identifier(name)) for name in table.key
        ),
    )
    key = [columns.index(name) for name in table.key]
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in copy.rows():
            yield tuple((row[index] or "").encode() for index in key), row


def _merge(
    table: Expected, wanted: Iterator[Row], found: Iterator[Row], result: Comparison
) -> None:
    """Walk both in key order; a key on one side only is a difference."""
    left, right = next(wanted, None), next(found, None)
    while left is not None or right is not None:
        result.rows += 1
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            result.differs(table, left[0])
            left = next(wanted, None)
        elif left is None or right[0] < left[0]:
            result.differs(table, right[0])
            right = next(found, None)
        else:
            if left != right:
                result.differs(table, left[0])
            left, right = next(wanted, None), next(found, None)
