"""Hostile entity, mapping and code table files: read as written or refused, at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from config.load import load_project
from config.problems import each
from tailrace.errors import ConfigError
from tests.config.projects import GOOD, write

SECONDS_MAX = 2.0
"""Of this process's work, whatever else the machine does."""

FILES = {
    "entity": "entities/customer.yml",
    "mapping": "mappings/erp_customer.yml",
    "codes": "codes/status.yml",
    "csv": "codes/status.csv",
}
CODES = {"codes": "A: active\nB: blocked\n", "csv": "code,value\nA,active\nB,blocked\n"}


def files(kind: str) -> dict[str, str | bytes]:
    """A good project, in which the file of this kind is in use."""
    named = FILES["codes" if kind == "codes" else "csv"]
    mapping = GOOD[FILES["mapping"]].replace("{A: active, no: blocked, null: none}", named)
    return {**GOOD, FILES["mapping"]: mapping, FILES["codes"]: CODES["codes"]} | {
        FILES["csv"]: CODES["csv"]
    }


def loaded(directory: Path, kind: str, data: str | bytes) -> list[ConfigError]:
    """What is wrong with the project where this file holds `data`."""
    write(directory, files(kind) | {FILES[kind]: data})
    began = time.process_time()
    found: list[ConfigError] = []
    try:
        load_project(directory)
    except ConfigError as error:
        found = each(error)
    assert time.process_time() - began < SECONDS_MAX
    return found


def good(kind: str) -> str:
    text = files(kind)[FILES[kind]]
    assert isinstance(text, str)
    return text


def deep(depth: int) -> str:
    return "x: " + "{a: " * depth + "b" + "}" * depth + "\n"


BOMB = "a: &a [x, x]\n" + "\n".join(f"k{n}: &k{n} [*a, *a, *a]" for n in range(40)) + "\n"

YAML = {
    "anchors": (BOMB, "anchor"),
    "an alias": ("x: *a\n", "alias"),
    "a merge key": ("<<: {a: b}\n", "merge key"),
    "depth": (deep(100), "nested more than 32"),
    "great depth": (deep(100_000), "nested more than 32"),
    "lists in lists": ("x: " + "[" * 500_000 + "\n", "nested more than 32"),
    "a tag that runs": ("x: !!python/object/apply:os.system [id]\n", "tag"),
    "a tag": ("x: !!timestamp 2024-01-01\n", "tag"),
    "a second document": ("---\na: b\n---\nc: d\n", "second document"),
    "a directive": ("%YAML 1.2\n---\na: b\n", "directive"),
    "a tab": ("a:\n\tb: c\n", "not valid YAML"),
    "NUL": ("a: b\0c\n", "U+0000"),
    "an escape sequence": ("a: \x1b[2J\n", "U+001B"),
    "many keys": ("".join(f"k{n}: {n}\n" for n in range(60_000)), "more than 25000 values"),
    "many unknown keys": ("".join(f"k{n}: {n}\n" for n in range(20_000)), ""),
    "one long line": ("a: " + "x" * 1_000_000 + "\n", ""),
    "quotes without end": ('a: "' + "x" * 1_000_000, "not valid YAML"),
    "a long key": ("? " + "x" * 1_000_000 + "\n: b\n", "key of more than 1000"),
    "many long keys": ("".join(f"{n}{'x' * 900}: b\n" for n in range(1000)), ""),
}


@pytest.mark.parametrize("kind", ["entity", "mapping", "codes"])
@pytest.mark.parametrize("case", YAML)
def test_hostile_yaml_is_refused_with_its_place(tmp_path: Path, kind: str, case: str) -> None:
    text, what = YAML[case]
    if kind == "codes" and not what:
        pytest.skip("a code may be any text")
    errors = loaded(tmp_path, kind, text)
    assert errors
    assert what in errors[0].what
    for error in errors:
        assert {"file", "line", "column"} <= set(error.where)
    assert any(error.where["file"] == FILES[kind] for error in errors)
    assert len(str(errors[0])) < 1000 or "long keys" in case


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("case", "encoded", "what"),
    [
        ("UTF-16", lambda text: text.encode("utf-16"), "not UTF-8"),
        ("UTF-16 without a mark", lambda text: text.encode("utf-16-le"), ""),
        ("UTF-32", lambda text: text.encode("utf-32"), "not UTF-8"),
        ("Latin-1", lambda text: (text + "# ü\n").encode("latin-1"), "not UTF-8"),
        ("10 MB", lambda text: text.encode() + b"#" * 10_000_000, "larger than 1 MiB"),
        ("nothing", lambda text: b"", ""),
        ("NUL bytes", lambda text: b"\0" * 1000, ""),
        ("a program", lambda text: b"\x7fELF\x02\x01\x01" + bytes(range(256)), "not UTF-8"),
    ],
)
def test_hostile_bytes_are_refused(
    tmp_path: Path, kind: str, case: str, encoded: object, what: str
) -> None:
    assert callable(encoded)
    error = loaded(tmp_path, kind, encoded(good(kind)))[0]
    assert what in error.what
    assert error.where["file"] == FILES[kind]
    assert isinstance(error.where["line"], int)


@pytest.mark.parametrize("kind", FILES)
def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path: Path, kind: str) -> None:
    text = good(kind)
    for data in (b"\xef\xbb\xbf" + text.encode(), text.replace("\n", "\r\n").encode()):
        assert loaded(tmp_path, kind, data) == []


@pytest.mark.parametrize(
    "kind_and_line",
    [
        ("entity", "key: [customer_no]\n"),
        ("mapping", "dialect: postgres\n"),
        ("codes", "A: active\n"),
        ("csv", "A,active\n"),
    ],
)
def test_a_key_that_stands_there_twice_is_refused(
    tmp_path: Path, kind_and_line: tuple[str, str]
) -> None:
    kind, line = kind_and_line
    (error,) = loaded(tmp_path, kind, good(kind) + line)
    assert "twice" in error.what
    assert error.where["line"] == good(kind).count("\n") + 1


WRITTEN = ["no", "on", "12:30:45", "2024-01-31", "010", "1e3", ".inf", "0x1f", "1_000", "~", "1.10"]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_other_readers_would_type_stays_what_was_written(tmp_path: Path, text: str) -> None:
    for kind, data in (
        ("codes", f"{text}: {text}\n"),
        ("csv", f"code,value\n{text},{text}\n"),
        ("mapping", good("mapping").replace(FILES["csv"], f"{{{text}: {text}}}")),
    ):
        assert loaded(tmp_path, kind, data) == []
        fields = load_project(tmp_path).mappings["erp_customer"].fields
        assert fields is not None
        assert fields["status"].codes == {text: text}


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "||".join(["name1"] * 3000),
        "case " + "when true then 1 " * 500 + "end",
        "not " * 2000 + "true",
        "-" * 9000 + "1",
        "'" + "x" * 900_000 + "'",
        "1; drop table x",
        "(select 1)",
        "pg_read_file('/etc/passwd')",
        "read_text('/etc/passwd')",
        "repeat('x', 1000000000)",
        "generate_series(1, 1000000000)",
    ],
)
@pytest.mark.parametrize("place", ["where", "field"])
def test_hostile_expressions_end_at_once(tmp_path: Path, place: str, expression: str) -> None:
    old, new = {
        "where": ('"mandant = 1"', f'"{expression}"'),
        "field": ('"trim(name1)"', f'"{expression}"'),
    }[place]
    columns = "columns: {id: integer primary key, name1: text, kz: text, mandant: integer}\n"
    text = good("mapping").replace(old, new) + columns
    for error in loaded(tmp_path, "mapping", text):
        assert error.where["file"] == FILES["mapping"]
        assert len(str(error)) < 1000
    if not expression.startswith(("case", "||", "name1")):
        assert loaded(tmp_path, "mapping", text)


def test_examples_without_bound_end_at_once(tmp_path: Path) -> None:
    example = "  - given: {id: 1, name1: x}\n    expect: filtered\n"
    columns = "columns: {id: integer primary key, name1: text, kz: text, mandant: integer}\n"
    text = good("mapping") + columns + "examples:\n" + example * 3000
    assert loaded(tmp_path, "mapping", text) == []
