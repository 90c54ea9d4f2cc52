"""Business as usual at the legacy ERP: several clerks who insert, change, rename and delete."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import psycopg

Cursor = psycopg.Cursor[tuple[object, ...]]
CLERKS = 3


class Load:
    """Threads that change the ERP until `stop`. `changes` counts rows of committed changes."""

    def __init__(self, url: str, rows: int) -> None:
        self._url = url
        self._rows = rows
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(CLERKS)]
        self._counts = [0] * CLERKS
        self._errors: list[BaseException] = []

    @property
    def changes(self) -> int:
        return sum(self._counts)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Errors: whatever a clerk met."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        if self._errors:
            raise self._errors[0]

    def _work(self, clerk: int) -> None:
        chance = random.Random(clerk)
        number = 10_000_000 * (clerk + 1)
        try:
            with psycopg.connect(self._url) as connection:
                while not self._stopping.is_set():
                    number += 1
                    changed, kept = 0, chance.random() > 0.08
                    with connection.transaction(), connection.cursor() as cursor:
                        for _ in range(chance.choice((1, 1, 2, 5))):
                            changed += chance.choice(WORK)(cursor, chance, self._rows, number)
                            number += 1
                        if not kept:
                            raise psycopg.Rollback
                    self._counts[clerk] += changed if kept else 0
                    self._stopping.wait(chance.random() * 0.01)
        except psycopg.errors.DeadlockDetected:
            self._work(clerk)  # as an application would: try again
        except BaseException as error:
            self._errors.append(error)


def new_order(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    cursor.execute(
        "insert into erp.auftraege select %s, mandant, kdnr, '10',"
        " to_char(current_date, 'YYYYMMDD'), 'EUR', null from erp.kunden"
        " where kdnr = lpad(%s::text, 8, '0')",
        (number, chance.randint(1, rows // 8)),
    )
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
        "update erp.auftraege set status = %s, bemerkung = bemerkung || ' *' where auftrnr = %s",
        (chance.choice(("20", "30", "90")), chance.randint(1, rows // 4)),
    ).rowcount


def change_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.kunden set kz_status = %s, kreditlimit = %s, newsletter = %s"
        " where kdnr = lpad(%s::text, 8, '0')",
        (
            chance.choice("ASI"),
            f"{chance.randint(1, 9)}.{chance.randint(0, 999):03},{chance.randint(0, 99):02}",
            chance.choice(("J", "N", None)),
            chance.randint(1, rows // 8),
        ),
    ).rowcount


def move_customer(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """To the other company, which the hub does not know, or back."""
    return cursor.execute(
        "update erp.kunden set mandant = 3 - mandant where kdnr = lpad(%s::text, 8, '0')",
        (chance.randint(1, rows // 8),),
    ).rowcount


def renumber_product(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    """A key change."""
    return cursor.execute(
        "update erp.artikel set artnr = 'NEU-' || %s"
        " where artnr = 'ART-' || lpad(%s::text, 6, '0')",
        (number, chance.randint(1, rows // 32)),
    ).rowcount


def raise_prices(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.artikel set preis = preis + 0.01, bezeichnung = bezeichnung || '!'"
        " where warengruppe = %s and length(bezeichnung) < 60",
        (f"{chance.randint(0, 39):02}",),
    ).rowcount


def delete_order(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    order = chance.randint(1, rows // 4)
    cursor.execute("delete from erp.positionen where auftrnr = %s", (order,))
    lines = cursor.rowcount
    return lines + cursor.execute("delete from erp.auftraege where auftrnr = %s", (order,)).rowcount


def new_terms(cursor: Cursor, chance: random.Random, rows: int, number: int) -> int:
    return cursor.execute(
        "update erp.zahlungsbedingungen set beschreibung = beschreibung || '.'"
        " where zb_code = 'N30' and length(beschreibung) < 200"
    ).rowcount


WORK: tuple[Callable[[Cursor, random.Random, int, int], int], ...] = (
    *(new_order,) * 4,
    *(move_order,) * 6,
    *(change_customer,) * 6,
    move_customer,
    renumber_product,
    raise_prices,
    *(delete_order,) * 2,
    new_terms,
)
