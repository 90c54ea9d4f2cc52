"""The dialect tsql: cases after Microsoft's manual, since no server is at hand.

The manual: Transact-SQL reference (Database Engine). Each group names its page.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transforms.manuals import FAILS, Given, given, have_cases, is_refused
from transforms.engine import Engine
from transforms.expressions.dialects.tsqlfunctions import FUNCTIONS

Case = tuple[str, Given, str | None]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


BIN = "COLLATE Latin1_General_BIN2"
TEXTS: list[Case] = [
    # "+ (String Concatenation)": null with CONCAT_NULL_YIELDS_NULL
    ("s + t", {"s": "a", "t": "b"}, "ab"),
    ("s + t", {"s": "a", "t": None}, None),
    ("s + N'ä' + 'x'", {"s": "a"}, "aäx"),
    ("CAST(i AS varchar(10)) + s", {"i": "5", "s": "x"}, "5x"),
    # "CONCAT": null is an empty string
    ("CONCAT(s, i, t)", {"s": "a", "i": "1", "t": None}, "a1"),
    ("CONCAT_WS('-', s, t, i)", {"s": "a", "t": None, "i": "1"}, "a-1"),
    # "LEN": excluding trailing spaces
    ("LEN(s)", {"s": "ab  "}, "2"),
    ("LEN(s)", {"s": "  ab"}, "4"),
    ("LEN(s)", {"s": ""}, "0"),
    # "CHARINDEX"
    (f"CHARINDEX('bicycle', t {BIN})", {"t": "Reflectors are vital bicycle"}, "22"),
    (f"CHARINDEX('x', s {BIN})", {"s": "abc"}, "0"),
    (f"CHARINDEX('', s {BIN})", {"s": "abc"}, "0"),
    # "SUBSTRING": a start below 1 counts, too
    ("SUBSTRING(s, 2, 3)", {"s": "abcdef"}, "bcd"),
    ("SUBSTRING(s, 0, 3)", {"s": "abcdef"}, "ab"),
    ("SUBSTRING(s, 9, 3)", {"s": "abc"}, ""),
    ("SUBSTRING(s, 1, i)", {"s": "abc", "i": "-1"}, FAILS),
    # "STUFF"
    ("STUFF(s, 2, 3, 'ijklmn')", {"s": "abcdef"}, "aijklmnef"),
    ("STUFF(s, 0, 1, 'x')", {"s": "abc"}, None),
    ("STUFF(s, 9, 1, 'x')", {"s": "abc"}, None),
    ("STUFF(s, 2, 1, NULL)", {"s": "abc"}, "ac"),
    ("LEFT(s, 5)", {"s": "abcdefg"}, "abcde"),
    ("LEFT(s, i)", {"s": "abc", "i": "-1"}, FAILS),
    ("RIGHT(s, 2)", {"s": "abc"}, "bc"),
    ("REPLICATE('0', 4)", {}, "0000"),
    (f"REPLACE(s {BIN}, 'cde', 'xxx')", {"s": "abcdefghicde"}, "abxxxfghixxx"),
    ("REVERSE(s)", {"s": "abc"}, "cba"),
    ("UPPER(s)", {"s": "abc"}, "ABC"),
    ("LOWER(s)", {"s": "ABC"}, "abc"),
    ("LTRIM(s)", {"s": "  a "}, "a "),
    ("RTRIM(s)", {"s": " a  "}, " a"),
    ("TRIM(s)", {"s": " a "}, "a"),
    # "Collation": comparisons pad with blanks, in binary collations, too
    (f"IIF(s {BIN} = 'A', 'same', 'other')", {"s": "A "}, "same"),
    (f"IIF(s {BIN} = 'A', 'same', 'other')", {"s": "a"}, "other"),
    (f"CASE s {BIN} WHEN 'A' THEN 1 ELSE 2 END", {"s": "A"}, "1"),
    (f"s {BIN} LIKE 'a%'", {"s": "abc"}, "true"),
    (f"s {BIN} LIKE 'a\\%'", {"s": "a\\b"}, "true"),
    (f"s {BIN} IN ('a', 'b')", {"s": "b "}, "true"),
    ("[S]", {"s": "x"}, "x"),
]

CHOICES: list[Case] = [
    ("ISNULL(i, 0)", {"i": None}, "0"),
    ("ISNULL(s, 'none')", {"s": None}, "none"),
    ("ISNULL(n, 0)", {"n": None}, "0.00"),
    ("IIF(i > 0, 'p', 'n')", {"i": "1"}, "p"),
    ("IIF(i > 0, 'p', 'n')", {"i": None}, "n"),
    ("COALESCE(s, t)", {"s": None, "t": "b"}, "b"),
    ("NULLIF(i, 0)", {"i": "0"}, None),
    ("CASE WHEN b = 1 THEN 'on' ELSE 'off' END", {"b": "t"}, "on"),
]

NUMBERS: list[Case] = [
    # "/ (Division)": integers divide to an integer, the fraction is cut off
    ("i / j", {"i": "7", "j": "2"}, "3"),
    ("i / j", {"i": "-7", "j": "2"}, "-3"),
    ("i / j", {"i": "7", "j": "0"}, FAILS),
    ("i % j", {"i": "-7", "j": "2"}, "-1"),
    ("i / -j + 1", {"i": "7", "j": "2"}, "-2"),
    ("(i / -j) * 2", {"i": "7", "j": "2"}, "-6"),
    # "Constants": what is no int is a decimal
    ("CAST(i / 3000000000 AS decimal(10,2))", {"i": "1500000000"}, "0.50"),
    ("CAST(n / NULL AS decimal(10,2))", {"n": "1.00"}, None),
    ("i + j", {"i": "2147483647", "j": "1"}, FAILS),
    ("CAST(n / 3 AS decimal(10,2))", {"n": "10.00"}, "3.33"),
    ("CAST(n / 3 AS decimal(10,2))", {"n": "-20.00"}, "-6.67"),
    # "ROUND": the result keeps its digits
    ("ROUND(n, 1)", {"n": "123.45"}, "123.50"),
    ("ROUND(n, -1)", {"n": "125.00"}, "130.00"),
    ("ROUND(n, 3)", {"n": "123.45"}, "123.45"),
    ("ROUND(m, 3)", {"m": "123.9994"}, "123.9990"),
    ("ROUND(i, 0)", {"i": "5"}, "5"),
    ("CEILING(n)", {"n": "-123.45"}, "-123"),
    ("FLOOR(n)", {"n": "-123.45"}, "-124"),
    ("ABS(n)", {"n": "-1.00"}, "1.00"),
]

CASTS: list[Case] = [
    # "CAST and CONVERT": numeric to int truncates, numeric to numeric rounds
    ("CAST(m AS int)", {"m": "10.6496"}, "10"),
    ("CAST(m AS int)", {"m": "-10.6496"}, "-10"),
    ("CAST(f AS int)", {"f": "10.9"}, "10"),
    ("CAST(m AS decimal(10,1))", {"m": "10.6500"}, "10.7"),
    ("CAST(s AS int)", {"s": " 42 "}, "42"),
    ("CAST(s AS int)", {"s": "4x"}, FAILS),
    ("CAST(s AS varchar(2))", {"s": "abc"}, "ab"),
    ("CAST(i AS varchar(2))", {"i": "123"}, FAILS),
    ("CAST(s AS varchar(max))", {"s": "abc"}, "abc"),
    ("CAST(t AS varchar)", {"t": "x" * 40}, "x" * 30),
    ("CONVERT(char(5), s) + '|'", {"s": "abc"}, "abc  |"),
    # "Date and time styles"
    ("CONVERT(varchar(10), d, 112)", {"d": "2024-02-03"}, "20240203"),
    ("CONVERT(varchar(10), d, 104)", {"d": "2024-02-03"}, "03.02.2024"),
    ("CONVERT(varchar(10), d, 101)", {"d": "2024-02-03"}, "02/03/2024"),
    ("CONVERT(varchar(19), ts, 120)", {"ts": "2024-02-03 04:05:06"}, "2024-02-03 04:05:06"),
    ("CONVERT(varchar(10), ts, 23)", {"ts": "2024-02-03 04:05:06"}, "2024-02-03"),
    ("CONVERT(varchar(4), d, 112)", {"d": "2024-02-03"}, "2024"),
    ("CONVERT(date, s, 104)", {"s": "03.02.2024"}, "2024-02-03"),
    ("CONVERT(date, s, 112)", {"s": "20240203"}, "2024-02-03"),
    ("CONVERT(date, s, 112)", {"s": "20240230"}, FAILS),
    ("CONVERT(date, s, 112)", {"s": ""}, FAILS),
    ("CONVERT(datetime2, s, 120)", {"s": "2024-02-03 04:05:06"}, "2024-02-03 04:05:06"),
    ("CAST(ts AS date)", {"ts": "2024-02-03 04:05:06"}, "2024-02-03"),
    ("CAST(s AS date)", {"s": "2024-02-03"}, "2024-02-03"),
    # "TRY_CAST": null where the cast fails
    ("TRY_CAST(s AS int)", {"s": "12"}, "12"),
    ("TRY_CAST(s AS int)", {"s": "x"}, None),
    ("TRY_CAST(s AS int)", {"s": "99999999999"}, None),
    ("TRY_CAST(s AS int)", {"s": ""}, "0"),
    ("TRY_CONVERT(decimal(10,2), s)", {"s": "1.555"}, "1.56"),
    ("TRY_CONVERT(decimal(10,2), s)", {"s": ""}, None),
]

MOMENTS: list[Case] = [
    # "DATEADD": the last day where the month has no such day
    ("DATEADD(month, 1, d)", {"d": "2024-08-31"}, "2024-09-30"),
    ("DATEADD(day, -1, d)", {"d": "2024-03-01"}, "2024-02-29"),
    ("DATEADD(yy, i, d)", {"d": "2024-02-29", "i": "1"}, "2025-02-28"),
    ("DATEADD(week, 1, d)", {"d": "2024-03-01"}, "2024-03-08"),
    ("DATEADD(quarter, 1, d)", {"d": "2024-03-01"}, "2024-06-01"),
    ("CONVERT(varchar(19), DATEADD(hour, 25, ts), 120)", {"ts": "2024-02-28 12:00:00"},
     "2024-02-29 13:00:00"),
    # "DATEDIFF": boundaries crossed
    ("DATEDIFF(day, d, e)", {"d": "2024-02-28", "e": "2024-03-01"}, "2"),
    ("DATEDIFF(year, d, e)", {"d": "2023-12-31", "e": "2024-01-01"}, "1"),
    ("DATEDIFF(month, d, e)", {"d": "2024-01-31", "e": "2024-02-01"}, "1"),
    ("DATEDIFF(hour, ts, ts)", {"ts": "2024-02-28 12:00:00"}, "0"),
    ("DATEDIFF(day, e, d)", {"d": "2024-02-28", "e": "2024-03-01"}, "-2"),
    # "DATEPART"
    ("DATEPART(year, d)", {"d": "2024-02-03"}, "2024"),
    ("DATEPART(dayofyear, d)", {"d": "2024-02-03"}, "34"),
    ("DATEPART(iso_week, d)", {"d": "2021-01-03"}, "53"),
    ("DATEPART(minute, ts)", {"ts": "2024-02-03 04:05:06"}, "5"),
    ("YEAR(d)", {"d": "2024-02-03"}, "2024"),
    ("MONTH(d)", {"d": "2024-02-03"}, "2"),
    ("DAY(d)", {"d": "2024-02-03"}, "3"),
    ("EOMONTH(d)", {"d": "2024-02-03"}, "2024-02-29"),
    ("EOMONTH(d, 1)", {"d": "2024-01-31"}, "2024-02-29"),
    ("DATEFROMPARTS(2024, 2, i)", {"i": "29"}, "2024-02-29"),
    ("DATEFROMPARTS(2023, 2, i)", {"i": "29"}, FAILS),
    ("d = '2024-02-03'", {"d": "2024-02-03"}, "true"),
]  # fmt: skip

ALL = [*TEXTS, *CHOICES, *NUMBERS, *CASTS, *MOMENTS]


@pytest.mark.parametrize(("expression", "row", "wanted"), ALL)
def test_as_the_manual_says(
    engine: Engine, expression: str, row: Given, wanted: str | None
) -> None:
    assert given(engine, expression, row, "tsql") == wanted


def test_every_function_has_a_case() -> None:
    have_cases(FUNCTIONS, [case[0] for case in ALL])


REFUSED = [
    ("s = 'A'", "Latin1_General_BIN2"),
    ("s LIKE 'a%'", "Latin1_General_BIN2"),
    ("CHARINDEX('a', s)", "Latin1_General_BIN2"),
    ("REPLACE(s, 'a', 'b')", "Latin1_General_BIN2"),
    ("NULLIF(s, '')", "Latin1_General_BIN2"),
    ("CASE s WHEN 'a' THEN 1 END", "Latin1_General_BIN2"),
    ("s COLLATE Latin1_General_CI_AS = 'a'", "Latin1_General_BIN2"),
    (f"s {BIN} LIKE '[a-c]%'", "sets of characters"),
    (f"s {BIN} < 'a'", "collation"),
    # "Operator Precedence": a sign comes after * and /, so this is -100 / -(100 * 10)
    ("-100 / -100 * 10", "which operator"),
    ("i * -j % 2", "which operator"),
    ("CONCAT_WS(s, s, t)", "quoted constant"),
    ("s + i", "a text and a number"),
    ("s || t", "a + b"),
    ("d + 1", "DATEADD"),
    ("i = '5'", "unquoted"),
    ("n / 3 + 1", "give it a scale"),
    ("CAST(n / 3 AS decimal(12,6))", "5 digits"),
    ("CONVERT(varchar(10), d, 3)", "styles"),
    ("CONVERT(varchar(10), ts)", "styles"),
    ("CONVERT(date, s, 3)", "styles"),
    ("CAST(s AS datetime2)", "needs its style"),
    ("TRY_CAST(s AS date)", "TRY_CAST is supported"),
    ("CAST(i AS bit)", "not supported"),
    ("CAST(n AS money)", "not supported"),
    ("CAST(i AS tinyint)", "not supported"),
    ("ISNULL(s, t)", "COALESCE()"),
    ("ISNULL(i, 1.5)", "COALESCE()"),
    ("DATEDIFF(week, d, e)", "DATEDIFF() knows"),
    ("DATEPART(weekday, d)", "DATEPART() knows"),
    ("DATENAME(month, d)", "DATEPART()"),
    ("FORMAT(d, 'd')", "CONVERT"),
    ("ts AT TIME ZONE 'UTC'", "names of Windows"),
    ("HASHBYTES('MD5', s)", "dialect: postgres"),
    ("GETDATE()", "another value at each call"),
    ("CURRENT_TIMESTAMP", "another value at each call"),
    ("SYSDATETIME()", "another value at each call"),
    ("NEWID()", "another value at each call"),
    ("RAND()", "another value at each call"),
    ("@x", "a parameter"),
    ("0x41", "hexstring"),
    ("STRING_AGG(s, ',')", "sees other rows"),
    ("(SELECT 1)", "sub-query"),
    ("EXEC sp_who", "expression"),
    ("REPLICATE('x', 9000000)", "at most 10000"),
    ("OPENROWSET('x')", "docs/functions.md"),
]


@pytest.mark.parametrize(("expression", "why"), REFUSED)
def test_refused(expression: str, why: str) -> None:
    is_refused(expression, why, "tsql")
