"""Regular expressions: what is accepted means the same to PostgreSQL and to RE2."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tailrace.service.localpg import LocalPostgres
from tests.transforms.oracle import PINNED
from transforms.engine import Engine
from transforms.expressions.patterns import once, pattern
from transforms.expressions.sql import quoted
from transforms.expressions.typed import Refusal

TEXTS = (
    *("", "a", "b", "ab", "ba", "aab", "abab", "abc", "acb", "bca", "-a-", "a-b", "aa-bb", "A"),
    *(
        "Ab",
        "aaaa",
        "bbbb",
        "abcabc",
        "cab\nab",
        "\n",
        "a\n",
        "ä",
        "Ä",
        "aÄb",
        "aäb",
        "--",
        "b-c-a",
        "acacac",
    ),
)


@pytest.fixture(scope="module")
def asked(pg18: LocalPostgres) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(pg18.url(), autocommit=True) as connection:
        for setting in PINNED:
            name, _, value = setting.partition("=")
            connection.execute(f"set {name} to {value}".encode())
        yield connection


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


_ATOM = st.sampled_from(["a", "b", "c", "-", ".", "[ab]", "[^a]", "[a-c]", r"\d", "ä", "A"])


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeat = st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}", "{2,}", "{0,1}"])
    bracket = st.sampled_from(["({})", "(?:{})"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(bracket, inner, repeat).map(lambda p: p[0].format(p[1]) + p[2]),
        st.tuples(bracket, inner, inner, repeat).map(
            lambda p: p[0].format(f"{p[1]}|{p[2]}") + p[3]
        ),
        st.tuples(_ATOM, repeat).map("".join),
    )


_BODY = st.recursive(
    st.tuples(_ATOM, st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}"])).map("".join),
    _combined,
    max_leaves=6,
)
_PATTERN = st.tuples(st.sampled_from(["", "", "^"]), _BODY, st.sampled_from(["", "", "$"])).map(
    "".join
)


@settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)
@given(written=_PATTERN, fold=st.booleans(), extent=st.booleans())
def test_random_patterns_match_the_same(
    asked: psycopg.Connection[tuple[object, ...]],
    engine: Engine,
    written: str,
    fold: bool,
    extent: bool,
) -> None:
    """Whether they match and, where that counts, what, and each group."""
    try:
        found = pattern(written, fold=fold, extent=extent)
    except Refusal:
        assume(False)
        raise
    listed = ", ".join(f"({at}, {quoted(text)})" for at, text in enumerate(TEXTS))
    flags = "i" if fold else ""
    groups = [n for n in range(1, min(found.groups, 3) + 1) if once(written, n)]
    theirs, ours = [f"regexp_like(x, p, '{flags}')"], []
    re2 = quoted(found.re2)
    ours.append(f"regexp_matches(x, {re2})")
    if extent:
        shown = "".join(f"[\\{n}]" for n in groups)
        theirs.append(f"regexp_replace(x, p, '<\\&>{shown}', 'g{flags}')")
        ours.append(f"regexp_replace(x, {re2}, '<\\0>{shown}', 'g')")
        theirs.append(f"regexp_substr(x, p, 1, 1, '{flags}')")
        ours.append(f"CASE WHEN regexp_matches(x, {re2}) THEN regexp_extract(x, {re2}, 0) END")
    there = asked.execute(
        f"select {', '.join(theirs)} from (values {listed}) v (n, x), "
        f"(select {quoted(written)}::text) q (p) order by n".encode()
    ).fetchall()
    here = engine._connection.execute(
        f"select {', '.join(ours)} from (values {listed}) v (n, x) order by n"
    ).fetchall()
    assert here == there, found.re2


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (r"(a)\1", "back reference"),
        (r"\s+", "blanks depend on the locale"),
        (r"\w", "letters depend on the locale"),
        (r"\mx", "word boundaries"),
        ("[[:alpha:]]", "named classes"),
        ("(?=a)b", "looking ahead"),
        ("(?i)a", r"(?…)"),
        ("a*?", "lazy"),
        ("a**", "lazy or doubled"),
        ("a{300}", "at most 255"),
        ("a{2", "{ begins a repetition"),
        ("(a", "not closed"),
        ("a)", "closes nothing"),
        ("[a", "not closed"),
        ("a\\", "ends in a backslash"),
        ("a^b", "only at the very begin"),
        ("^a|b$", "only at the very begin"),
        ("***:a", "***"),
        ("", "empty pattern"),
        ("((a{255}){255}){255}", "multiply"),
        ("x" * 501, "more than 500"),
        ("(" * 200 + ")" * 200, "nested too deeply"),
    ],
)
def test_refused_by_name(written: str, why: str) -> None:
    with pytest.raises(Refusal) as refused:
        pattern(written)
    assert why in refused.value.what


@pytest.mark.parametrize("written", ["a|ab", "(a|ab)(c|bcd)", "a?(ab)?", "(?:a|b)*a", "a*"])
def test_refused_where_what_matches_counts(written: str) -> None:
    pattern(written)
    with pytest.raises(Refusal):
        pattern(written, extent=True)


@pytest.mark.parametrize("written", ["ä", "[à-ý]", "[^Ä]", "[\u0100-\uffff]"])
def test_letters_beyond_ascii_do_not_ignore_case(written: str) -> None:
    pattern(written)
    with pytest.raises(Refusal, match="ASCII letters"):
        pattern(written, fold=True)


@pytest.mark.parametrize("written", ["(a+)+$", "(a|a)*$", "(.*)*x$", "([a-z]+)*-$", "(a*)*b$"])
def test_no_pattern_is_catastrophic(engine: Engine, written: str) -> None:
    re2 = pattern(written).re2
    began = time.process_time()
    engine._connection.execute(
        f"select regexp_matches(repeat('a', 100000) || '!', {quoted(re2)})"
    ).fetchall()
    assert time.process_time() - began < 10
