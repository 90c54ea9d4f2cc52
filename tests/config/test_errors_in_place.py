"""An error of an expression names the line and column, and underlines the part in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.fit import validate_mappings
from config.load import load_project
from config.places import Places
from config.spots import line_and_column, spot
from config.yaml import parse
from tailrace.errors import ConfigError
from tailrace.service.output import shown
from tests.config.projects import changed, write
from tests.config.test_project_fit import KUNDEN, ORDERS

MAPPING = "mappings/erp_customer.yml"

STYLES = [
    # how the field is written; what is wrong stands between the marks
    ("plain", "  name: trim(«naem1»)\n"),
    ("double quoted", '  name: "trim(«naem1»)"\n'),
    ("single quoted", "  name: 'coalesce(''-'', «naem1»)'\n"),
    ("escapes", '  name: "\\"name1\\" || \\x27\\u00e4\\U0001f600\\n\\t\\x27 || «naem1»"\n'),
    ("a line that goes on", '  name: "trim(\\\n    name1) || «naem1»"\n'),
    ("quoted over lines", '  name: "trim(name1)\n    || «naem1»"\n'),
    ("plain over lines", "  name: trim(name1)\n    || 'ä'\n\n    || «naem1»\n"),
    ("a block", "  name: |\n    trim(name1)\n      || «naem1»\n"),
    ("a block with a header", "  name: |2-  # as it was\n\n     trim(name1)\n    || «naem1»\n"),
    ("a folded block", "  name: >-\n    trim(name1)\n\n    || «naem1»\n"),
    ("expr", "  name: {expr: «naem1»}\n"),
    ("expr with a default", "  name: {expr: «naem1», default: x}\n"),
    ("from", "  name: {from: «naem1», values: {A: b}}\n"),
    ("from in block style", "  name:\n    from: |\n      «naem1»\n    values: {A: b}\n"),
    ("an operand", "  name: \"trim(name1) || («mandant + 'x'») || name1\"\n"),
    ("a quoted column", '  name: trim(«"Naem 1"»)\n'),
    ("characters of four bytes", "  name: \"'😀' || «naem1»\"\n"),
    ("a comment behind", "  name: trim(«naem1»)  # 'naem1'\n"),
]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "written"), STYLES, ids=[name for name, _ in STYLES])
def test_the_part_is_underlined_in_the_file(
    tmp_path: Path, name: str, written: str, ends: str
) -> None:
    whole = changed((MAPPING, '  name: "trim(name1)"\n', written))[MAPPING].replace("\n", ends)
    before, _, rest = whole.partition("«")
    marked = rest.partition("»")[0]
    line = before.count("\n") + 1
    column = len(before.rpartition("\n")[2]) + 1
    text = whole.replace("«", "").replace("»", "")
    files = changed() | {MAPPING: text}
    errors = validate_mappings(load_project(write(tmp_path, files)), {"erp": [KUNDEN, ORDERS]})
    (error,) = errors
    assert error.where == {"file": MAPPING, "line": line, "column": column}
    first, *excerpt = shown(error).splitlines()[:3]
    assert first.startswith(f"{MAPPING}:{line}:{column}: mapping erp_customer, field name")
    there = text.split("\n")[line - 1].rstrip("\r")
    assert excerpt == [f"    {there}", "    " + " " * (column - 1) + "^" * len(marked)]


def test_what_cannot_be_placed_is_named_by_its_key(tmp_path: Path) -> None:
    files = changed((MAPPING, '"mandant = 1"', '"   "'))
    with pytest.raises(ConfigError, match="the expression is empty") as caught:
        load_project(write(tmp_path, files))
    assert caught.value.where == {"file": MAPPING, "line": 9, "column": 1}


def test_a_long_line_is_cut_around_the_part(tmp_path: Path) -> None:
    long = "'" + "x" * 300 + "' || naem1 || '" + "y" * 300 + "'"
    files = changed((MAPPING, '"trim(name1)"', f'"{long}"'))
    (error,) = validate_mappings(load_project(write(tmp_path, files)), {"erp": [KUNDEN, ORDERS]})
    line, carets = error.what.splitlines()[1:3]
    assert len(line) <= 104
    assert line[carets.index("^") : carets.rindex("^") + 1] == "naem1"


TEXT = st.text(
    st.sampled_from("ab'\"\\|:#-,{}[]()% \n\tä😀\u2028\x85") | st.characters(codec="utf-8"),
    max_size=40,
)


@given(TEXT, st.sampled_from(["'", '"', "|", ">", None]), st.integers(10, 80))
@settings(max_examples=400, deadline=None)
def test_every_character_is_found_where_it_was_written(
    value: str, style: str | None, width: int
) -> None:
    text = yaml.dump({"a": value}, default_style=style, allow_unicode=True, width=width)
    places: Places = parse(text.encode(), "f.yml").places
    for at, char in enumerate(value):
        found = spot(places, ("a",), value, (at, at))
        if char.isspace():
            assert found is None
            continue
        assert found is not None
        first, last = found
        written = text[first : last + 1]
        assert written == char or written[0] == "\\" or written == "''"
        line, column = line_and_column(text, first)
        assert (line, column) > (0, 0)
