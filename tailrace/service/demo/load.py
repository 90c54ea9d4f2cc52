"""Business as usual at the legacy ERP: several clerks who insert, change, rename and delete."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

Cursor = psycopg.Cursor[tuple[object, ...]]
CLERKS = 3
PAUSE_MAX_S = 0.01
ROLLED_BACK = 0.08


class Load:
    """Threads that change the ERP until `stop`."""

    def __init__(self, url: str, rows: int) -> None:
        self._url = url
        self._rows = rows
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(CLERKS)]
        self._counts = [0] * CLERKS
        self._errors: list[BaseException] = []

    @property
    def changes(self) -> int:
        """Rows inserted, updated and deleted by transactions that were committed."""
        return sum(self._counts)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Errors: whatever a clerk met."""
        if self._errors:
            raise self._errors[0]

    def stop(self) -> None:
        """Returns when the last transaction has ended. Idempotent."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self, clerk: int) -> None:
        chance = random.Random(clerk)
        number = 10_000_000 * (clerk + 1)
        try:
            with psycopg.connect(self._url) as connection:
                while not self._stopping.is_set():
                    work = chance.choices(list(WORK), list(WORK.values()), k=chance.choice(STEPS))
                    with suppress(psycopg.errors.DeadlockDetected):  # the victim does other work
                        self._counts[clerk] += self._transaction(connection, work, chance, number)
                    number += len(work)
                    self._stopping.wait(chance.random() * PAUSE_MAX_S)
        except BaseException as error:
            self._errors.append(error)

    def _transaction(
        self,
        connection: psycopg.Connection[tuple[object, ...]],
        work: list[Work],
        chance: random.Random,
        number: int,
    ) -> int:
        changed = 0
        kept = chance.random() >= ROLLED_BACK
        with connection.transaction(), connection.cursor() as cursor:
            for step, do in enumerate(work):
                changed += do(cursor, chance, self._rows, number + step)
            if not kept:
                raise psycopg.Rollback
        return changed if kept else 0


def _customer(chance: random.Random, rows: int) -> str:
    return f"{chance.randint(1, rows // 8):08}"


def _product(chance: random.Random, rows: int) -> str:
    return f"ART-{chance.randint(1, rows // 32):06}"


def _order(chance: random.Random, rows: int) -> int:
    return chance.randint(1, rows // 4)


def new_order(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    cursor.execute(
        "insert into erp.auftraege select %s, mandant, kdnr, '10',"
        " to_char(current_date, 'YYYYMMDD'), '00000000', 'EUR', null from erp.kunden"
        " where kdnr = %s",
        (number, _customer(chance, rows)),
    )
    if not cursor.rowcount:
        return 0
    lines = chance.randint(1, 6)
    cursor.execute(
        "insert into erp.positionen select %s, g, 'ART-' || lpad((1 + %s * g %% %s)::text, 6, '0'),"
        " g * 1.125, g * 9.99 from generate_series(1, %s) g",
        (number, chance.randint(1, 999), rows // 32, lines),
    )
    return 1 + lines


def move_order(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """Also into and out of the mapping's filter: status 90 is not in the hub."""
    return cursor.execute(
        "update erp.auftraege set status = %s, bemerkung = bemerkung || ' *',"
        " liefertermin = case liefertermin when '00000000' then '20290228' else '00000000' end"
        " where auftrnr = %s",
        (chance.choice(("20", "30", "40", "90")), _order(chance, rows)),
    ).rowcount


def change_lines(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.positionen set menge = menge + 0.125 where auftrnr = %s",
        (_order(chance, rows),),
    ).rowcount


def swap_lines(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """Two keys change hands, by way of a third."""
    order, changed = _order(chance, rows), 0
    for before, after in ((1, -1), (2, 1), (-1, 2)):
        changed += cursor.execute(
            "update erp.positionen set posnr = %s where auftrnr = %s and posnr = %s",
            (after, order, before),
        ).rowcount
    return changed


def delete_order(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    order, changed = _order(chance, rows), 0
    for table in ("erp.positionen", "erp.auftraege"):
        changed += cursor.execute(
            f"delete from {table} where auftrnr = %s".encode(), (order,)
        ).rowcount
    return changed


def regret_order(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """Half a transaction is rolled back, to a savepoint."""
    with cursor.connection.transaction():
        new_order(cursor, chance, rows, number)
        raise psycopg.Rollback
    return move_order(cursor, chance, rows, number)


def new_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """Gone again within the transaction now and then."""
    cursor.execute(
        "insert into erp.kunden values (1, %s, 'Neu & Söhne', null, '00000', null, ' ', '0,00',"
        " null, '00000000', 'VKS')",
        (str(number),),
    )
    if chance.random() < 0.2:
        cursor.execute("delete from erp.kunden where mandant = 1 and kdnr = %s", (str(number),))
        return 2
    return 1


def change_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.kunden set kz_status = %s, kreditlimit = %s, newsletter = %s where kdnr = %s",
        (
            chance.choice(("A", "S", "I", "X", " ", None)),
            f"{chance.randint(1, 9)}.{chance.randint(0, 999):03},{chance.randint(0, 99):02}",
            chance.choice(("J", "N", None)),
            _customer(chance, rows),
        ),
    ).rowcount


def move_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """With every order to the sister company, which the hub does not know, or back."""
    customer, changed = _customer(chance, rows), 0
    for table in ("erp.kunden", "erp.auftraege"):
        changed += cursor.execute(
            f"update {table} set mandant = 3 - mandant where kdnr = %s".encode(), (customer,)
        ).rowcount
    return changed


def renumber_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """A key change, and the orders that follow it."""
    customer, changed = _customer(chance, rows), 0
    for table in ("erp.kunden", "erp.auftraege"):
        changed += cursor.execute(
            f"update {table} set kdnr = %s where kdnr = %s".encode(), (str(number), customer)
        ).rowcount
    return changed


def delete_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """One of the new ones, if it has no orders."""
    return cursor.execute(
        "delete from erp.kunden where (mandant, kdnr) = (select mandant, kdnr from erp.kunden k"
        " where mandant = 1 and kdnr >= '10000000' and name1 like 'Neu%'"
        " and not exists (select from erp.auftraege a where a.kdnr = k.kdnr)"
        " order by mandant, kdnr limit 1)"
    ).rowcount


def renumber_product(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """A key change; the long text of some products is not in the log."""
    return cursor.execute(
        "update erp.artikel set artnr = 'NEU-' || %s where artnr = %s",
        (number, _product(chance, rows)),
    ).rowcount


def raise_prices(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.artikel set preis = preis * 1.01, gesperrt = %s where warengruppe = %s"
        " and preis < 100000",
        (chance.choice("JNN"), f"{chance.randint(0, 39):02}"),
    ).rowcount


def replace_product(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """Deleted and made anew under the same key, in one transaction."""
    product = _product(chance, rows)
    if not cursor.execute("delete from erp.artikel where artnr = %s", (product,)).rowcount:
        return 0
    cursor.execute(
        "insert into erp.artikel values (%s, %s, '00', 12.30, 'J', null)",
        (product, f"Ersatz {number}"),
    )
    return 2


def touch_terms(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.zahlungsbedingungen set beschreibung = beschreibung || '.'"
        " where zb_code = 'N30' and length(beschreibung) < 200"
    ).rowcount


Work = Callable[[Cursor, random.Random, int, int], int]
"""Does one thing with a number that is free, and returns how many rows it changed."""
STEPS = (1, 1, 2, 5)
"""How many things a transaction does."""
WORK: dict[Work, int] = {  # and how often
    new_order: 8,
    move_order: 12,
    change_lines: 6,
    swap_lines: 1,
    delete_order: 4,
    regret_order: 1,
    new_customer: 3,
    change_customer: 12,
    move_customer: 2,
    renumber_customer: 1,
    delete_customer: 2,
    renumber_product: 2,
    raise_prices: 2,
    replace_product: 1,
    touch_terms: 1,
}
