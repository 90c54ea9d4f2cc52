"""The dialect oracle: cases after Oracle's manual, since no server is at hand.

The manual: Oracle Database SQL Language Reference. Each group names its chapter.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transforms.manuals import FAILS, Given, given, have_cases, is_refused
from transforms.engine import Engine
from transforms.expressions.dialects.oraclefunctions import FUNCTIONS

Case = tuple[str, Given, str | None]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


NULLS: list[Case] = [
    # "Nulls": a character value with a length of zero is treated as null
    ("s", {"s": ""}, None),
    ("s", {"s": "x"}, "x"),
    ("CASE WHEN s IS NULL THEN 'null' ELSE 'known' END", {"s": ""}, "null"),
    ("CASE WHEN s = '' THEN 'same' ELSE 'other' END", {"s": ""}, "other"),
    ("NVL(s, 'none')", {"s": ""}, "none"),
    ("'' || 'x'", {}, "x"),
    ("''", {}, None),
    # "Concatenation Operator": concatenating a zero-length string with another operand
    ("i || NULL", {"i": "5"}, "5"),
    ("s || t", {"s": "a", "t": None}, "a"),
    ("s || t", {"s": None, "t": "b"}, "b"),
    ("s || t", {"s": "", "t": ""}, None),
    ("s || '-' || i", {"s": "a", "i": "7"}, "a-7"),
    ("CONCAT(s, t)", {"s": "a", "t": None}, "a"),
    ("s || q'[it's]'", {"s": "a"}, "ait's"),
    ("s || N'ä'", {"s": "a"}, "aä"),
]

TEXTS: list[Case] = [
    # "SUBSTR": position 0 is treated as 1; negative counts backward; length below 1 gives null
    ("SUBSTR(s, 3, 4)", {"s": "ABCDEFG"}, "CDEF"),
    ("SUBSTR(s, -5, 4)", {"s": "ABCDEFG"}, "CDEF"),
    ("SUBSTR(s, 0, 2)", {"s": "ABC"}, "AB"),
    ("SUBSTR(s, 2)", {"s": "ABC"}, "BC"),
    # "Floating-point numbers … are automatically converted to integers": cut off
    ("SUBSTR(s, 2.7)", {"s": "ABC"}, "BC"),
    ("SUBSTR(s, n, 1.9)", {"s": "ABC", "n": "-1.60"}, "C"),
    ("LPAD(s, n, '*')", {"s": "A", "n": "3.90"}, "**A"),
    ("ADD_MONTHS(d, 1.5)", {"d": "2024-01-15"}, "2024-02-15"),
    ("SUBSTR(s, 9)", {"s": "ABC"}, None),
    ("SUBSTR(s, -9)", {"s": "ABC"}, None),
    ("SUBSTR(s, 1, 0)", {"s": "ABC"}, None),
    ("SUBSTR(s, i, j)", {"s": "ABC", "i": "2", "j": "1"}, "B"),
    # "INSTR": 0 where it is not found
    ("INSTR(s, 'OR')", {"s": "CORPORATE FLOOR"}, "2"),
    ("INSTR(s, 'x')", {"s": "abc"}, "0"),
    ("INSTR(s, 'x')", {"s": ""}, None),
    # "LENGTH": null of null; CHAR counts its trailing blanks
    ("LENGTH(s)", {"s": "CANDIDE"}, "7"),
    ("LENGTH(s)", {"s": ""}, None),
    ("LENGTH(c)", {"c": "ab   "}, "5"),
    ("LENGTH(RTRIM(c))", {"c": "ab   "}, "2"),
    ("RTRIM(c) = 'ab'", {"c": "ab   "}, "true"),
    # "LPAD", "RPAD"
    ("LPAD(s, 15, '*.')", {"s": "Page 1"}, "*.*.*.*.*Page 1"),
    ("RPAD(s, 12, 'ab')", {"s": "MORRISON"}, "MORRISONabab"),
    ("LPAD(i, 5, '0')", {"i": "42"}, "00042"),
    ("LPAD(s, 2)", {"s": "abc"}, "ab"),
    ("LPAD(s, 0)", {"s": "abc"}, None),
    # "LTRIM", "RTRIM" take sets of characters; "TRIM" one character
    ("LTRIM(s, '<>')", {"s": "<==>BROWNING"}, "==>BROWNING"),
    ("RTRIM(s, '/=')", {"s": "x/=/="}, "x"),
    ("LTRIM(s)", {"s": "  a "}, "a "),
    ("TRIM(LEADING '0' FROM s)", {"s": "0012"}, "12"),
    ("TRIM(s)", {"s": "  a "}, "a"),
    ("TRIM(s)", {"s": "   "}, None),
    # "REPLACE": without a replacement, or with null, all occurrences are removed
    ("REPLACE(s, 'J', 'BL')", {"s": "JACK and JUE"}, "BLACK and BLUE"),
    ("REPLACE(s, 'x')", {"s": "axb"}, "ab"),
    ("REPLACE(s, 'x', t)", {"s": "axb", "t": None}, "ab"),
    ("REPLACE(s, 'x', '')", {"s": "axb"}, "ab"),
    ("REPLACE(s, 'x')", {"s": "xx"}, None),
    # "TRANSLATE"
    ("TRANSLATE(s, ' *''', '___')", {"s": "SQL*Plus User's"}, "SQL_Plus_User_s"),
    ("UPPER(s)", {"s": "abc ß"}, "ABC ß"),
    ("LOWER(s)", {"s": "ABC"}, "abc"),
    ("CHR(65)", {}, "A"),
    # "INITCAP": words are delimited by characters that are not alphanumeric
    ("INITCAP(s)", {"s": "the soap-box o'NEILL 2nd"}, "The Soap-Box O'Neill 2nd"),
    # "Oracle Regular Expression Support"
    ("REGEXP_REPLACE(s, '[0-9]+', '#')", {"s": "a1b22"}, "a#b#"),
    ("REGEXP_REPLACE(s, '[0-9]+')", {"s": "a1b22"}, "ab"),
    ("REGEXP_REPLACE(s, '([a-z])([0-9])', '\\2\\1')", {"s": "a1b2"}, "1a2b"),
    ("REGEXP_SUBSTR(s, '[0-9]+')", {"s": "ab12cd3"}, "12"),
    ("REGEXP_SUBSTR(s, '[0-9]+')", {"s": "ab"}, None),
    ("REGEXP_LIKE(s, '^[A-Z]{2}$')", {"s": "AB"}, "true"),
    # "STANDARD_HASH"
    ("RAWTOHEX(STANDARD_HASH(s, 'MD5'))", {"s": "abc"}, "900150983CD24FB0D6963F7D28E17F72"),
    ("RAWTOHEX(STANDARD_HASH(s, 'MD5'))", {"s": ""}, FAILS),
    ("s LIKE 'a\\%'", {"s": "a\\b"}, "true"),
    ("s LIKE 'a!%' ESCAPE '!'", {"s": "a%"}, "true"),
]

CHOICES: list[Case] = [
    # "DECODE": two nulls are equivalent
    ("DECODE(i, 1, 'one', 2, 'two', 'other')", {"i": "2"}, "two"),
    ("DECODE(i, 1, 'one', 2, 'two', 'other')", {"i": "3"}, "other"),
    ("DECODE(i, 1, 'one')", {"i": "3"}, None),
    ("DECODE(i, NULL, 'none', 1, 'one')", {"i": None}, "none"),
    ("DECODE(s, NULL, 'none', s)", {"s": ""}, "none"),
    ("DECODE(s, 'A', 'active', 'B', 'blocked')", {"s": "B"}, "blocked"),
    # "NVL", "NVL2", "COALESCE", "NULLIF", "GREATEST"
    ("NVL(i, 0)", {"i": None}, "0"),
    ("NVL2(s, 'yes', 'no')", {"s": ""}, "no"),
    ("NVL2(i, 'yes', 'no')", {"i": "1"}, "yes"),
    ("COALESCE(s, t, 'z')", {"s": "", "t": "y"}, "y"),
    ("NULLIF(i, 1)", {"i": "1"}, None),
    ("GREATEST(i, j)", {"i": "1", "j": "2"}, "2"),
    ("GREATEST(i, j)", {"i": "1", "j": None}, None),
    ("LEAST(d, e)", {"d": "2024-01-02", "e": "2024-01-01"}, "2024-01-01"),
    ("CASE i WHEN 1 THEN 'a' ELSE '' END", {"i": "2"}, None),
]

NUMBERS: list[Case] = [
    # "Arithmetic Operators": NUMBER has no 32 bits
    ("i + j", {"i": "2147483647", "j": "1"}, "2147483648"),
    ("ROUND(i / j, 2)", {"i": "2", "j": "3"}, "0.67"),
    ("ROUND(i / j, 2)", {"i": "-2", "j": "3"}, "-0.67"),
    ("CAST(n / 3 AS NUMBER(10,4))", {"n": "10.00"}, "3.3333"),
    ("ROUND(i / j, 2)", {"i": "1", "j": "0"}, FAILS),
    # "MOD": returns n2 if n1 is 0
    ("MOD(i, 4)", {"i": "11"}, "3"),
    ("MOD(i, 4)", {"i": "-11"}, "-3"),
    ("MOD(i, 0)", {"i": "11"}, "11"),
    # "ROUND (number)": away from zero; "TRUNC (number)"
    ("TO_CHAR(ROUND(n, 1), 'FM9990.0')", {"n": "15.25"}, "15.3"),
    ("TO_CHAR(ROUND(n, 1), 'FM9990.0')", {"n": "-15.25"}, "-15.3"),
    ("ROUND(n)", {"n": "-2.50"}, "-3"),
    ("ROUND(i, -1)", {"i": "15"}, "20"),
    ("TRUNC(n)", {"n": "15.79"}, "15"),
    ("TRUNC(n, -1)", {"n": "15.79"}, "10"),
    ("CEIL(n)", {"n": "268651.80"}, "268652"),
    ("FLOOR(n)", {"n": "15.70"}, "15"),
    ("ABS(i)", {"i": "-15"}, "15"),
    ("SIGN(n)", {"n": "-15.00"}, "-1"),
    # "TO_CHAR (number)"
    ("TO_CHAR(n, 'FM9999990.00')", {"n": "0.50"}, "0.50"),
    ("TO_CHAR(n, 'FM9999990.00')", {"n": "-1234.50"}, "-1234.50"),
    ("TO_CHAR(i, 'FM000000')", {"i": "42"}, "000042"),
    ("TO_CHAR(i, 'FM00')", {"i": "100"}, FAILS),
    ("CAST(n AS INTEGER)", {"n": "2.50"}, "3"),
]

MOMENTS: list[Case] = [
    # "TRUNC (date)"
    ("TRUNC(ts)", {"ts": "2024-05-17 13:14:15"}, "2024-05-17"),
    ("TRUNC(d, 'MM')", {"d": "2024-05-17"}, "2024-05-01"),
    ("TRUNC(d, 'YYYY')", {"d": "2024-05-17"}, "2024-01-01"),
    ("TRUNC(d, 'Q')", {"d": "2024-05-17"}, "2024-04-01"),
    ("TRUNC(d, 'IW')", {"d": "2024-05-17"}, "2024-05-13"),
    # "Datetime/Interval Arithmetic"
    ("d + 1", {"d": "2024-02-28"}, "2024-02-29"),
    ("d - e", {"d": "2024-03-01", "e": "2024-02-28"}, "2"),
    ("d + INTERVAL '1' DAY", {"d": "2024-02-28"}, "2024-02-29"),
    ("d + INTERVAL '1' MONTH", {"d": "2024-02-28"}, "2024-03-28"),
    ("d + INTERVAL '1' MONTH", {"d": "2024-01-31"}, FAILS),
    (
        "TO_CHAR(d + INTERVAL '1' HOUR, 'YYYY-MM-DD HH24:MI')",
        {"d": "2024-02-28"},
        "2024-02-28 01:00",
    ),
    # "ADD_MONTHS": the last day of the month stays the last one
    ("ADD_MONTHS(d, 1)", {"d": "2024-01-31"}, "2024-02-29"),
    ("ADD_MONTHS(d, 1)", {"d": "2024-02-29"}, "2024-03-31"),
    ("ADD_MONTHS(d, -1)", {"d": "2024-03-30"}, "2024-02-29"),
    ("ADD_MONTHS(d, i)", {"d": "2024-01-15", "i": "12"}, "2025-01-15"),
    ("LAST_DAY(d)", {"d": "2024-02-03"}, "2024-02-29"),
    ("EXTRACT(YEAR FROM d)", {"d": "2024-02-03"}, "2024"),
    # "TO_CHAR (datetime)", "Datetime Format Models"
    ("TO_CHAR(d, 'YYYY-MM-DD')", {"d": "2024-02-03"}, "2024-02-03"),
    ("TO_CHAR(ts, 'DD.MM.YYYY HH24:MI:SS')", {"ts": "2024-02-03 04:05:06"}, "03.02.2024 04:05:06"),
    ("TO_CHAR(d, 'YYYY\"Q\"MM')", {"d": "2024-02-03"}, "2024Q02"),
    # "TO_DATE"; "The RR Datetime Format Element"
    ("TO_DATE(s, 'YYYYMMDD')", {"s": "20240203"}, "2024-02-03"),
    ("TO_DATE(s, 'DD.MM.RR')", {"s": "31.12.99"}, "1999-12-31"),
    ("TO_DATE(s, 'DD.MM.RR')", {"s": "31.12.24"}, "2024-12-31"),
    ("TO_DATE(s, 'DD.MM.RR')", {"s": "01.01.49"}, "2049-01-01"),
    ("TO_DATE(s, 'DD.MM.RR')", {"s": "01.01.50"}, "1950-01-01"),
    ("TO_DATE(s, 'DD.MM.RR')", {"s": ""}, None),
    ("TO_DATE(s, 'YYYYMMDD')", {"s": " "}, FAILS),
    ("TO_DATE(s, 'YYYYMMDD')", {"s": "20240230"}, FAILS),
    ("TO_DATE(s, 'DD.MM.YYYY')", {"s": "31.12.99"}, FAILS),
    (
        "TO_TIMESTAMP(s, 'YYYY-MM-DD HH24:MI:SS')",
        {"s": "2024-02-03 04:05:06"},
        "2024-02-03 04:05:06",
    ),
    ("d = DATE '2024-02-03'", {"d": "2024-02-03"}, "true"),
    # "FROM_TZ", "Datetime Expressions"
    (
        "CAST(FROM_TZ(ts, 'UTC') AT TIME ZONE 'Europe/Berlin' AS TIMESTAMP)",
        {"ts": "2024-07-01 12:00:00"},
        "2024-07-01 14:00:00",
    ),
    ("FROM_TZ(ts, 'Europe/Berlin')", {"ts": "2024-07-01 12:00:00"}, "2024-07-01 10:00:00+00"),
    ("FROM_TZ(ts, 'Europe/Berlin')", {"ts": "2024-03-31 02:30:00"}, FAILS),
    (
        "CAST(tz AT TIME ZONE 'UTC' AS TIMESTAMP)",
        {"tz": "2024-07-01 12:00:00+00"},
        "2024-07-01 12:00:00",
    ),
]

ALL = [*NULLS, *TEXTS, *CHOICES, *NUMBERS, *MOMENTS]


@pytest.mark.parametrize(("expression", "row", "wanted"), ALL)
def test_as_the_manual_says(
    engine: Engine, expression: str, row: Given, wanted: str | None
) -> None:
    assert given(engine, expression, row, "oracle") == wanted


def test_every_function_has_a_case() -> None:
    have_cases(FUNCTIONS, [case[0] for case in ALL])


REFUSED = [
    ("i / j + 1", "give it a scale"),
    # "Operator Precedence": + and || are alike
    ("s || i + 1", "which operator"),
    ("DECODE(i, '01', 1)", "unquoted"),
    ("NULLIF(i, '01')", "unquoted"),
    ("NVL(d, '2024-01-01')", "NLS settings"),
    ("GREATEST(d, '2024-01-01')", "NLS settings"),
    ("LAST_DAY(ts)", "LAST_DAY(TRUNC(x))"),
    ("TO_CHAR(d, 'DDDD')", "format"),
    ("n || s", "TO_CHAR(x, 'FM999999990.00')"),
    ("d || s", "TO_CHAR(x, 'YYYY-MM-DD')"),
    ("f || s", "NLS"),
    ("TO_NUMBER(s)", "parse_decimal"),
    ("CAST(s AS NUMBER(10,2))", "parse_decimal"),
    ("CAST(s AS DATE)", "TO_DATE"),
    ("CAST(ts AS DATE)", "TRUNC(x)"),
    ("CAST(s AS VARCHAR2(10))", "SUBSTR(x, 1, n)"),
    ("CAST(tz AS TIMESTAMP)", "whose clock"),
    ("d = '2024-01-01'", "DATE '2024-12-31'"),
    ("i = '5'", "unquoted"),
    ("s + 1", "no number"),
    ("ts + 1", "INTERVAL '1' DAY"),
    ("c = 'ab'", "RTRIM(x) = 'A'"),
    ("s < 'a'", "collation"),
    ("TO_DATE(s, 'DD-MON-YY')", "format"),
    ("TO_DATE(s, 'YYMMDD')", "format"),
    ("TO_CHAR(d, 'DY')", "format"),
    ("TO_CHAR(n, '999')", "FM000000"),
    ("REGEXP_LIKE(s, 'a.b')", "write [^\\n]"),
    ("REGEXP_LIKE(s, '[\\d]')", "backslash within a bracket"),
    ("REGEXP_LIKE(s, '[[:alpha:]]')", "named classes"),
    ("TRIM(LEADING 'ab' FROM s)", "one character"),
    ("SYSDATE", "another value at each call"),
    ("SYSTIMESTAMP", "another value at each call"),
    ("SYS_GUID()", "another value at each call"),
    ("ROWNUM", "another value at each call"),
    ("USER", "another value at each call"),
    ("s(+)", "the column alone"),
    ("LISTAGG(s)", "sees other rows"),
    ("MONTHS_BETWEEN(d, e)", "EXTRACT"),
    ("i % 2", "MOD(x, y)"),
    ("(SELECT 1 FROM dual)", "sub-query"),
    ("DUMP(s)", "docs/functions.md"),
    ("RPAD('x', 4000000)", "at most 10000"),
]


@pytest.mark.parametrize(("expression", "why"), REFUSED)
def test_refused(expression: str, why: str) -> None:
    is_refused(expression, why, "oracle")
