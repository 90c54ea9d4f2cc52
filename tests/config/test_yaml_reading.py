"""Every scalar is text; what else a file holds gives a ConfigError with file and line, no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.yaml import BYTES_MAX, parse, read
from tailrace.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "true",
        "null",
        "~",
        "010",
        "0x1f",
        "1_000",
        "1e3",
        ".inf",
        ".nan",
        "12:30:45",
        "12:30",
        "2024-01-31",
        "2024-01-31T10:00:00Z",
        "=",
        "1.10",
        "+49",
    ],
)
def test_a_scalar_is_the_text_that_was_written(text: str) -> None:
    assert parse(f"a: {text}\n? {text}\n: [{text}]\n".encode(), "f.yml").value == {
        "a": text,
        text: [text],
    }


def test_block_style_keeps_an_expression() -> None:
    text = b"name: |-\n  trim(a, ' ') || '#'\nother: >-\n  a\n  || {b}\n"
    assert parse(text, "f.yml").value == {"name": "trim(a, ' ') || '#'", "other": "a || {b}"}


def test_the_empty_text_is_a_code_of_a_value_map() -> None:
    text = b"status: {from: kz, values: {\"\": none, '': x}}\n"
    with pytest.raises(ConfigError, match="the key '' twice"):
        parse(text, "f.yml")
    assert parse(text.replace(b", '': x", b""), "f.yml").value["status"]["values"] == {"": "none"}


def test_places_are_those_of_keys_and_items() -> None:
    places = parse(b"a:\n  b: [x,\n      y]\nc: {d: e}\n", "f.yml").places
    assert places.where(("a", "b", 1)) == {"file": "f.yml", "line": 3, "column": 7}
    assert places.where(("c", "d")) == {"file": "f.yml", "line": 4, "column": 5}
    assert places.where(("a", "b", 7, "z")) == {"file": "f.yml", "line": 2, "column": 3}
    assert places.where(("nothing",)) == {"file": "f.yml", "line": 1, "column": 1}


BOMB = "a: &a [x, x]\n" + "\n".join(f"k{n}: &k{n} [*a, *a]" for n in range(30))

REFUSED = [
    # text, line, column, part of the message, part of the fix
    (BOMB, 1, 4, "anchor", "remove"),
    ("a: *b\n", 1, 4, "alias", "write the value out"),
    ("a: x\n<<: {b: c}\n", 2, 1, "merge key", "write the entries out"),
    ("a: !!python/object/apply:os.system [id]\n", 1, 4, "tag", "remove"),
    ("a: ! x\n", 1, 4, "tag", "remove"),
    ("%YAML 1.1\n---\na: b\n", 1, 1, "directive", "remove"),
    ("a: b\n---\nc: d\n", 3, 1, "second document", "one per file"),
    ("a: " + "[" * 100_000, 1, 36, "nested more than 32", None),
    ("\n".join(" " * n + "a:" for n in range(100)), 34, 34, "nested more than 32", None),
    ("a: b\nc: d\na: e\n", 3, 1, "key 'a' twice", "remove one"),
    ("a: {b: 1, b: 2}\n", 1, 11, "key 'b' twice", "remove one"),
    ("? [a]\n: b\n", 1, 3, "key that is not text", None),
    ('"": b\n', 1, 1, "key without a name", None),
    ("values:\n  ?\n  : b\n", 2, 4, "key without a name", None),
    ("a: b\nc:\n", 2, 1, "c has no value", '""'),
    ("a:\n  - x\n  -\n", 3, 4, "a list item has no value", '""'),
    ("a: b\n\tc: d\n", 2, 1, "not valid YAML", "not with tabs"),
    ("a: [b\n", 2, 1, "not valid YAML", "the one before"),
    ("a: b\n c: d\n", 2, 3, "not valid YAML", "the one before"),
    ("- a\n- b\n", 1, 1, "`key: value`", None),
    ("just text\n", 1, 1, "`key: value`", None),
    ("", 1, 1, "is empty", None),
    ("# only a comment\n", 1, 1, "is empty", None),
    ("---\n", 1, 1, "is empty", None),
    ("a: b\nc: \x07\n", 2, 4, "U+0007", "remove it"),
    ("\x00", 1, 1, "U+0000", "remove it"),
    # what SQL in YAML runs into
    ("a:\n  b: {from: coalesce(a, b)}\n", 2, 25, "comma inside {…}", "double quotes"),
    ("a: {expr: f('x', 'y')}\n", 1, 18, "comma inside {…}", "double quotes"),
    ("a: {from: f(x, y), values: {A: b}}\n", 1, 16, "comma inside {…}", "block style"),
    ("a: {b: f('x', y), c: d}}\n", 1, 15, "comma inside {…}", "double quotes"),
    ("a: {b: 'x' || f(y, z)}\n", 1, 12, "not valid YAML", "a comma ends a value"),
    ("a: 'E-' || id\n", 1, 10, "not valid YAML", "begins with a quote"),
    ('a: "x" || y\n', 1, 9, "not valid YAML", "begins with a quote"),
    ("a: [*.orders]\n", 1, 6, "not valid YAML", "begins with one of"),
    ("a: [sales.*, !sales.tmp_*]\n", 1, 26, "not valid YAML", "begins with one of"),
    ("a: @x\n", 1, 4, "not valid YAML", "begins with one of"),
    ("a: x: y\n", 1, 5, "not valid YAML", "holds `: `"),
    ("a: [${SCHEMA}.*]\n", 1, 6, "not valid YAML", "${reference}"),
]


@pytest.mark.parametrize(("text", "line", "column", "what", "fix"), REFUSED)
def test_what_is_refused_names_line_and_column(
    text: str, line: int, column: int, what: str, fix: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "f.yml")
    error = caught.value
    assert error.where == {"file": "f.yml", "line": line, "column": column}
    assert what in error.what
    assert fix is None or fix in (error.fix or "")
    assert error.exit_code == 2


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        parse("a: b\nc: grün\n".encode("latin-1"), "f.yml")
    assert caught.value.where == {"file": "f.yml", "line": 2, "column": 6}


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert parse(b"\xef\xbb\xbfa: b\n", "f.yml").value == {"a": "b"}


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.yml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read(path, "huge.yml")


def test_a_file_as_large_as_allowed_is_read(tmp_path: Path) -> None:
    line = b"# 345678\n"
    data = (line * (BYTES_MAX // len(line) + 1))[: BYTES_MAX - 5] + b"\na: b"
    assert parse(data, "f.yml").value == {"a": "b"}


@pytest.mark.parametrize("kind", ["absent", "directory", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.yml"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ConfigError) as caught:
        read(path, "x.yml")
    assert caught.value.where["file"] == "x.yml"


_MARKS = (
    "a",
    "b",
    " ",
    ": ",
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    '"',
    "#",
    "%",
    "?",
    "@",
    "ö",
)
_LONGER = ("&x ", "*x ", "!t ", "<<: ", "---\n", "...\n", "|\n", ">\n", "\n  ", "a: ", "\na: ")
_SPACES = ("\n", "  ", "\t", "\u2028", "\x85", "\x00", "\ufeff")
_PIECES = st.sampled_from(_MARKS) | st.sampled_from(_LONGER) | st.sampled_from(_SPACES)


@given(st.lists(_PIECES, max_size=60).map("".join))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    _read_or_refused(text.encode())


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _read_or_refused(data)


def _read_or_refused(data: bytes) -> None:
    refused = None
    try:
        _all_text(parse(data, "f.yml").value)
    except ConfigError as error:
        refused = error
    assert refused is None or set(refused.where) == {"file", "line", "column"}


def _all_text(value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            assert isinstance(key, str)
            _all_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _all_text(inner)
    else:
        assert type(value) is str
