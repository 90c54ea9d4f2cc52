"""Rules of identity mean at MariaDB and MySQL what they mean at PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from itertools import product
from random import Random

import psycopg
import pytest

from sinks.mysql import match_words
from sinks.postgres import identity_sql
from tailrace.errors import TargetRefused
from tests.sinks.harness import PostgresHarness
from tests.sinks.maria_harness import MariadbHarness
from transforms.matching import FUNCTIONS, Call, Field, Form

A, B = Field("a"), Field("b")
ALPHABET = "abAB .-0'\\%[]^x\u00e4\u00f6\n\U0001f600"
FORMS: list[Form] = [
    A,
    Call("||", (A, B)),
    Call("||", (A, Call("||", ("'\\%", B)))),
    Call("lower", (A,)),
    Call("upper", (Call("left", (A, 3)),)),
    Call("coalesce", (A, B, "none")),
    Call("nullif", (A, "a")),
    Call("nullif", (A, B)),
    Call("replace", (A, "", "x")),
    Call("replace", (A, "ab", "")),
    Call("replace", (A, "a", "A-")),
    *(Call(function, (A,)) for function in ("btrim", "ltrim", "rtrim")),
    *(
        Call(function, (A, characters))
        for function in ("btrim", "ltrim", "rtrim")
        for characters in ("", "a", "b ", "]^-\\[.", "'", "\n\u00e4\U0001f600")
    ),
    *(Call(function, (A, count)) for function in ("left", "right") for count in (0, 1, 3, 99)),
    *(Call("substring", (A, first)) for first in (0, 1, 2, 99)),
    *(Call("substring", (A, first, count)) for first in (0, 1, 2) for count in (0, 1, 2, 99)),
    Call("translate", (A, " .-", "")),
    Call("translate", (A, "\u00e4\u00f6AB", "aoab")),
    Call("translate", (A, "abx", "bx0")),
    Call("translate", (A, "aab", "xyz")),
    Call("translate", (A, "a", "a")),
]
UNSAID: list[tuple[Form, str]] = [
    (Call("translate", (A, "ab", "ba")), "exchanges characters"),
    (Call("translate", (A, B, "x")), "characters that are not a constant"),
    (Call("replace", (A, B, "x")), "characters that are not a constant"),
    (Call("replace", (A, "x", B)), "characters that are not a constant"),
    (Call("left", (Call("||", (A, B)), Call("nullif", (1, 2)))), "a number that is not a constant"),
    (Call("btrim", (A, B)), "characters that are not a constant"),
]


def values() -> list[str | None]:
    random = Random(3)
    texts = ["".join(random.choices(ALPHABET, k=random.randrange(9))) for _ in range(60)]
    return [None, "", " ", "a ", *texts]


def test_every_function_is_compared() -> None:
    compared = {form.function for form in FORMS if isinstance(form, Call)}
    assert compared == {*FUNCTIONS, "||"}


def test_meanings(harness18: PostgresHarness, maria_harness: MariadbHarness) -> None:
    rows = list(product(values(), [None, "a", "B "]))
    columns = ", ".join(identity_sql.said(form) for form in FORMS)
    with psycopg.connect(harness18.url) as connection:
        connection.execute("create temporary table v (n int, a text, b text)")
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into v values (%s, %s, %s)", [(n, *row) for n, row in enumerate(rows)]
            )
        expected = connection.execute(f"select {columns} from v order by n".encode()).fetchall()
    collation = maria_harness.product.collation
    columns = ", ".join(match_words.said(form) for form in FORMS)
    with closing(maria_harness.server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("create database if not exists shop")
        text = f"longtext character set utf8mb4 collate {collation}"
        cursor.execute(f"create temporary table shop.v (n int, a {text}, b {text})")
        cursor.executemany(
            "insert into shop.v values (%s, %s, %s)", [(n, *row) for n, row in enumerate(rows)]
        )
        cursor.execute(f"select {columns} from shop.v order by n")
        found = cursor.fetchall()
    for row, one, other in zip(rows, expected, found, strict=True):
        for form, wanted, got in zip(FORMS, one, other, strict=True):
            assert got == wanted, (form, row)


@pytest.mark.parametrize(("form", "what"), UNSAID)
def test_what_cannot_be_said(form: Form, what: str) -> None:
    with pytest.raises(TargetRefused, match=what):
        match_words.said(form)
