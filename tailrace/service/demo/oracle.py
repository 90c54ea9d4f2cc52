"""What every target table must hold, said once more by hand in plain SQL over the source.

Independent of the mappings: nothing here goes through Tailrace. Source and target are read in key
order and compared row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

EXPECTED = {
    "raw.zahlungsbedingungen": (
        "select zb_code::text as k, zb_code, beschreibung from erp.zahlungsbedingungen",
        "select zb_code::text as k, zb_code, beschreibung from raw.zahlungsbedingungen",
    ),
    "hub.customer": (
        """select 'C-' || rtrim(kdnr) as k,
            trim(name1 || ' ' || coalesce(name2, '')), ort,
            case kz_status when 'A' then 'active' when 'S' then 'blocked' else 'inactive' end,
            replace(replace(kreditlimit, '.', ''), ',', '.')::numeric(12,2),
            coalesce(newsletter, 'N') = 'J',
            case when angelegt <> '00000000' then to_date(angelegt, 'YYYYMMDD') end,
            rtrim(zb_code)
        from erp.kunden where mandant = 1""",
        """select customer_no as k, name, city, status, credit_limit, newsletter, customer_since,
            payment_terms from hub.customer""",
    ),
    "hub.product": (
        "select artnr::text as k, bezeichnung, rtrim(warengruppe), preis, gesperrt = 'J'"
        " from erp.artikel",
        'select product_no as k, name, "group", price, discontinued from hub.product',
    ),
    "hub.order": (
        """select 'O-' || auftrnr as k, 'C-' || rtrim(kdnr),
            case status when '10' then 'entered' when '20' then 'confirmed'
                when '30' then 'shipped' end,
            to_date(datum, 'YYYYMMDD'), rtrim(waehrung), bemerkung
        from erp.auftraege where status <> '90'""",
        'select order_no as k, customer_no, status, ordered_on, currency, note from hub."order"',
    ),
    "hub.order_line": (
        """select 'O-' || auftrnr || '/' || posnr as k, artnr, menge, preis, 'erp'
        from erp.positionen""",
        """select order_no || '/' || line_no as k, product_no, quantity, price, system
        from hub.order_line""",
    ),
}
KEYS_SHOWN_MAX = 5

Row = tuple[object, ...]


@dataclass(slots=True)
class Comparison:
    """`keys`: some of those that differ, as table and key."""

    rows: int = 0
    different: int = 0
    keys: list[str] = field(default_factory=list)


def compare(source_url: str, target_url: str) -> Comparison:
    """Compare every row of every target table with what the source says it must be."""
    result = Comparison()
    with (
        psycopg.connect(source_url, autocommit=False) as source,
        psycopg.connect(target_url, autocommit=False) as target,
    ):
        for table, (wanted, found) in EXPECTED.items():
            _compare(table, _ordered(source, wanted), _ordered(target, found), result)
    return result


def _ordered(connection: psycopg.Connection[Row], query: str) -> Iterator[Row]:
    cursor = connection.cursor(name="compare")
    cursor.itersize = 5000
    cursor.execute(f'select * from ({query}) q order by k collate "C"'.encode())
    with cursor:
        yield from cursor


def _compare(table: str, wanted: Iterator[Row], found: Iterator[Row], result: Comparison) -> None:
    """Merge two streams in key order; a key on one side only counts as a difference."""
    left, right = next(wanted, None), next(found, None)
    while left is not None or right is not None:
        result.rows += 1
        if left is not None and right is not None and left[0] == right[0]:
            if left != right:
                _differs(table, left[0], result)
            left, right = next(wanted, None), next(found, None)
        elif right is None or (left is not None and _before(left[0], right[0])):
            assert left is not None
            _differs(table, left[0], result)
            left = next(wanted, None)
        else:
            _differs(table, right[0], result)
            right = next(found, None)


def _before(left: object, right: object) -> bool:
    return str(left).encode() < str(right).encode()


def _differs(table: str, key: object, result: Comparison) -> None:
    result.different += 1
    if len(result.keys) < KEYS_SHOWN_MAX:
        result.keys.append(f"{table} {key}")


__all__ = ["EXPECTED", "Comparison", "compare"]
