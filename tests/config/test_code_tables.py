"""Value maps in files of their own mean what they mean in the mapping; errors name their lines."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.codes import CodeTables
from config.files import BYTES_MAX
from config.fit import validate_mappings
from config.load import load_project
from config.places import Places
from config.problems import Problems, each
from config.yaml import Document
from tailrace.errors import ConfigError
from tests.config.projects import Change, changed, write
from tests.config.test_project_fit import KUNDEN, ORDERS, table
from transforms.model import CODES_MAX, Mapping

MAPPING = "mappings/erp_customer.yml"
INLINE = "{A: active, no: blocked, null: none}"


def project(name: str, text: str | bytes, *changes: Change) -> dict[str, str | bytes]:
    named = (MAPPING, INLINE, name)
    return dict(changed(named, *changes)) | {name: text}


def codes(directory: Path, name: str, text: str | bytes) -> dict[str | None, str | None]:
    found = load_project(write(directory, project(name, text)))
    fields = found.mappings["erp_customer"].fields
    assert fields is not None
    return fields["status"].codes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("codes/s.csv", 'code,value\nA,active\nno,blocked\nnull,none\n"",null\n'),
        ("codes/s.csv", '"code","value"\r\n"A","active"\r\nno,blocked\r\nnull,none\r\n"",null'),
        ("s.csv", 'code;value\nA;active\n\nno;blocked\nnull;none\n"";null\n\n'),
        ("s.csv", b'\xef\xbb\xbfcode\tvalue\nA\tactive\nno\tblocked\nnull\tnone\n""\tnull\n'),
        ("a/b/s.yml", 'A: active\nno: blocked\nnull: none\n"": null\n'),
        ("s.yaml", '{A: active, no: blocked, null: none, "": null}\n'),
    ],
)
def test_a_table_means_what_a_value_map_means(tmp_path: Path, name: str, text: str) -> None:
    expected = {"A": "active", "no": "blocked", None: "none", "": None}
    assert codes(tmp_path, name, text) == expected


def test_cells_in_quotes_are_read_as_they_are(tmp_path: Path) -> None:
    text = 'code,value\n"a,b"," x "\n"say ""hi""","two\nlines"\nlast,"1,5"\n'
    assert codes(tmp_path, "s.csv", text) == {
        "a,b": " x ",
        'say "hi"': "two\nlines",
        "last": "1,5",
    }


REFUSED = [
    # file, text, line, column, what, fix
    ("s.csv", "A,active\n", 1, 1, "names of its columns", "code,value"),
    ("s.csv", "value,code\nactive,A\n", 1, 1, "names of its columns", "code,value"),
    ("s.csv", "code,value,note\nA,active,x\n", 1, 1, "names of its columns", "code,value"),
    ("s.csv", "", 1, 1, "names of its columns", "code,value"),
    ("s.csv", "code,value\n", 1, 1, "holds no codes", None),
    ("s.csv", "code,value\nA,x\nB,y\nA,z\n", 4, 1, "'A' twice: also in line 2", "remove one"),
    ("s.csv", 'code,value\nA,"x\ny"\nA,z\n', 4, 1, "'A' twice: also in line 2", "remove one"),
    ("s.csv", "code,value\n,x\n", 2, 1, "has no code", 'write ""'),
    ("s.csv", "code,value\nA,\n", 2, 1, "has no value", 'write ""'),
    ("s.csv", "code,value\nA, x\n", 2, 1, "value that begins or ends with a blank", "quotes"),
    ("s.csv", "code,value\nA ,x\n", 2, 1, "code that begins or ends with a blank", "quotes"),
    ("s.csv", "code,value\nA,x\nB\n", 3, 1, "not a code and a value", "double quotes"),
    ("s.csv", "code,value\nA;x\n", 2, 1, "not a code and a value", "double quotes"),
    ("s.csv", "code,value\nA,x,y\n", 2, 1, "not a code and a value", "double quotes"),
    ("s.csv", 'code,value\nA,"x\nB,y\n', 2, 1, "not a code and a value", "doubled"),
    ("s.csv", 'code,value\nA,"x"y\n', 2, 1, "not a code and a value", "doubled"),
    ("s.csv", 'code,value\nA,x"y\n', 2, 1, "not a code and a value", "doubled"),
    ("s.csv", "code,value\nA,x\0\n", 2, 1, "NUL", "remove it"),
    ("s.csv", "code,value\nA,grün\n".encode("latin-1"), 2, 5, "not UTF-8", "UTF-8"),
    ("s.csv", "code,value\nA,x\n".encode("utf-16"), 1, 1, "not UTF-8", "UTF-8"),
    ("s.csv", b"x" * (BYTES_MAX + 1), 1, 1, "larger than 1 MiB", "split"),
    ("s.yml", "A: x\nB: y\nA: z\n", 3, 1, "key 'A' twice", "remove one"),
    ("s.yml", "A: x\nB: {c: y}\n", 2, 1, "'B' has no single value", None),
    ("s.yml", "A: x\nB: [y]\n", 2, 1, "'B' has no single value", None),
    ("s.yml", "A: x\nB:\n", 2, 1, "B has no value", None),
    ("s.yml", "- A\n", 1, 1, "`key: value`", None),
    ("s.yml", "A: &a x\nB: *a\n", 1, 4, "anchor", None),
    ("s.yml", "{}\n", 1, 1, "holds no codes", None),
    ("s.yml", "A: !!int 5\n", 1, 4, "tag", None),
]


@pytest.mark.parametrize(("name", "text", "line", "column", "what", "fix"), REFUSED)
def test_a_table_that_is_wrong_is_named_with_its_line(
    tmp_path: Path,
    name: str,
    text: str | bytes,
    line: int,
    column: int,
    what: str,
    fix: str | None,
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(write(tmp_path, project(name, text)))
    (error,) = each(caught.value)
    assert error.where == {"file": name, "line": line, "column": column}
    assert what in error.what
    assert fix is None or fix in (error.fix or "")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../s.csv", "leads out of the project"),
        ("codes/../../s.csv", "leads out of the project"),
        ("/etc/passwd.csv", "leads out of the project"),
        ("link.csv", "leads out of the project"),
        ("folder/s.csv", "leads out of the project"),
        ("absent.csv", "there is no file 'absent.csv'"),
        ("directory.csv", "there is no file"),
        ("pipe.csv", "there is no file"),
        ("s.txt", "neither a value map nor a code table"),
        ("active", "neither a value map nor a code table"),
    ],
)
def test_only_files_of_the_project_are_read(tmp_path: Path, name: str, what: str) -> None:
    directory = write(tmp_path / "project", changed((MAPPING, INLINE, name)))
    write(tmp_path, {"s.csv": "code,value\nA,x\n"})
    (directory / "link.csv").symlink_to(tmp_path / "s.csv")
    (directory / "folder").symlink_to(tmp_path)
    (directory / "directory.csv").mkdir()
    os.mkfifo(directory / "pipe.csv")
    with pytest.raises(ConfigError, match=what) as caught:
        load_project(directory)
    assert caught.value.where == {"file": MAPPING, "line": 8, "column": 22}


def test_a_value_that_does_not_fit_the_field_is_named_by_its_line(tmp_path: Path) -> None:
    entity = ("entities/customer.yml", "status: {type: text}", "status: {type: integer}")
    files = project("codes/s.csv", "code,value\nA,1\nnull,2\nB,x\n", entity)
    (error,) = validate_mappings(load_project(write(tmp_path, files)), {"erp": [KUNDEN, ORDERS]})
    assert error.where == {"file": "codes/s.csv", "line": 4, "column": 1}
    files = project("codes/s.yml", 'A: 1\n\nnull: 2\n"": x\n', entity)
    (error,) = validate_mappings(load_project(write(tmp_path, files)), {"erp": [KUNDEN, ORDERS]})
    assert error.where == {"file": "codes/s.yml", "line": 4, "column": 1}


@pytest.mark.parametrize(
    ("type_", "good", "bad", "says"),
    [
        ("integer", "7", "07", "prints numbers"),
        ("boolean", "true", "t", "true or false"),
        ("character(3)", "A", "A  ", "trailing blanks"),
        ("numeric(6,2)", "7.50", "7.5", "as in 7.00"),
        ("numeric(6,0)", "7", "7.0", "as in 7"),
    ],
)
def test_a_code_that_never_comes_is_refused(
    tmp_path: Path, type_: str, good: str, bad: str, says: str
) -> None:
    text = f'code,value\n"{good}",x\nnull,y\n"{bad}",z\n'
    kunden = table("sales.kunden", id="integer", name1="text", kz=type_, mandant="integer")
    (error,) = validate_mappings(
        load_project(write(tmp_path, project("s.csv", text))), {"erp": [kunden, ORDERS]}
    )
    assert error.where == {"file": "s.csv", "line": 4, "column": 1}
    assert says in error.what


def test_one_table_serves_several_fields_and_is_read_once(tmp_path: Path) -> None:
    field = "  name: {from: name1, values: s.csv}\n"
    files = project("s.csv", "code,value\nA,x\n", (MAPPING, '  name: "trim(name1)"\n', field))
    fields = load_project(write(tmp_path, files)).mappings["erp_customer"].fields
    assert fields is not None
    assert fields["name"].codes == fields["status"].codes == {"A": "x"}
    write(tmp_path, project("s.csv", "code\n", (MAPPING, '  name: "trim(name1)"\n', field)))
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert len(each(caught.value)) == 1


def test_a_changed_table_is_a_changed_mapping(tmp_path: Path) -> None:
    versions = []
    for text in ("code,value\nA,x\n", "code,value\nA,y\n", 'code;value\n"A";x\n'):
        found = load_project(write(tmp_path, project("s.csv", text)))
        versions.append(found.mappings["erp_customer"].version)
    assert versions[0] != versions[1]
    assert versions[0] == versions[2]


def test_rows_have_tables_too(tmp_path: Path) -> None:
    rows = """\
mapping: erp_customer
table: sales.kunden
rows:
  - name: a
    entity: customer
    key: {customer_no: id}
    fields: {name: name1, status: {from: kz, values: s.csv}}
"""
    files = changed() | {MAPPING: rows, "s.csv": "code,value\nA,x\n"}
    ((_, part),) = load_project(write(tmp_path, files)).mappings["erp_customer"].parts
    assert part.fields["status"].codes == {"A": "x"}


def test_a_large_table_is_read_quickly_and_one_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    lines = [f"c{at},value {at}\n" for at in range(CODES_MAX)]
    began = time.process_time()
    assert len(codes(tmp_path, "s.csv", "code,value\n" + "".join(lines))) == CODES_MAX
    assert time.process_time() - began < 10
    with pytest.raises(ConfigError, match=f"at most {CODES_MAX} codes"):
        codes(tmp_path, "s.csv", "code,value\n" + "".join([*lines, "one,more\n"]))


CELLS = st.text(
    st.sampled_from('a",;\t\n\r \u2028') | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=8,
)


@given(st.dictionaries(CELLS, CELLS, min_size=1), st.sampled_from(",;\t"))
@settings(max_examples=200, deadline=None)
def test_what_other_programs_write_is_read(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, str], separator: str
) -> None:
    import csv
    import io

    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([("code", "value"), *table.items()])
    directory = tmp_path_factory.getbasetemp()
    (directory / "t.csv").write_bytes(file.getvalue().encode())
    rule: dict[str, object] = {"from": "x", "values": "t.csv"}
    problems = Problems()
    document = Document(Places("m.yml"), {"fields": {"f": rule}})
    CodeTables(directory, {}).fill_in(document, problems)
    assert not problems.found
    assert rule["values"] == table


@pytest.mark.parametrize("shape", [{}, {"fields": "x"}, {"rows": ["x", {"fields": []}]}])
def test_a_document_of_another_shape_is_left_to_the_model(shape: dict[str, object]) -> None:
    problems = Problems()
    CodeTables(Path(), {}).fill_in(Document(Places("m.yml"), dict(shape)), problems)
    assert not problems.found
    with pytest.raises(ValueError, match="validation error"):
        Mapping.model_validate(shape)
