"""${references}: what they give, what is refused, and that no secret comes out again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.load import load_project
from config.secrets import ReferenceProblem, resolve
from tailrace.errors import ConfigError
from tests.config.projects import GOOD, changed, write

ERP_URL = "postgresql://tailrace:pw@erp.example/erp"
SECRET = "s3cr3t-hunter2"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "value")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${SET}", "value"),
        ("a${SET}b${SET}", "avaluebvalue"),
        ("${SET:-other}", "value"),
        ("${UNSET:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${SET:?say}", "value"),
        ("$$", "$"),
        ("$${SET}", "${SET}"),
        ("$$$${SET}", "$${SET}"),
        ("$$${SET}", "$value"),
        ("a$b$", "a$b$"),
        ("$SET", "$SET"),
    ],
)
def test_a_reference_is_filled_in(text: str, result: str) -> None:
    assert resolve(text) == result


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("${UNSET}", "UNSET is not set"),
        ("${EMPTY}", "EMPTY is empty"),
        ("${UNSET:?ask the DBA}", "UNSET is not set: ask the DBA"),
        ("${UNSET:?}", "UNSET is not set"),
        ("${file:/nowhere/x}", "cannot be read"),
        ("${file:/tmp}", "is not a file"),
    ],
)
def test_a_reference_without_a_value_is_refused_unless_only_files_are_checked(
    text: str, what: str
) -> None:
    with pytest.raises(ReferenceProblem, match=what):
        resolve(text)
    assert resolve(text, resolve_secrets=False) == text


@pytest.mark.parametrize(
    "text", ["${SET", "${}", "${1}", "${SET-x}", "${SET:+x}", "${a b}", "${file:x}", "${file:}"]
)
@pytest.mark.parametrize("resolve_secrets", [True, False])
def test_a_malformed_reference_is_always_refused(text: str, resolve_secrets: bool) -> None:
    with pytest.raises(ReferenceProblem) as caught:
        resolve(text, resolve_secrets=resolve_secrets)
    assert caught.value.fix


def test_a_file_gives_its_text_without_the_line_end(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    assert resolve(f"${{file:{path}}}") == SECRET
    for data, what in ((b"", "is empty"), (b"\xff", "not UTF-8"), (b"x" * 70_000, "too large")):
        path.write_bytes(data)
        with pytest.raises(ReferenceProblem, match=what):
            resolve(f"${{file:{path}}}")


def test_what_a_variable_gives_is_not_filled_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "${UNSET}$$")
    assert resolve("${SET}") == "${UNSET}$$"


# In a project


def test_an_unset_variable_is_named_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, changed(("tailrace.yml", ERP_URL, "${UNSET}")))
    with pytest.raises(ConfigError, match="variable UNSET is not set") as caught:
        load_project(tmp_path)
    assert caught.value.where == {"file": "tailrace.yml", "line": 6, "column": 5}
    assert caught.value.exit_code == 2


def test_files_are_checked_without_any_variable(tmp_path: Path) -> None:
    settings = (
        "${UNSET}\n    heartbeat_s: ${UNSET}\n    retain_max: ${UNSET:-1GB}\n    slot: ${UNSET}"
    )
    write(tmp_path, changed(("tailrace.yml", ERP_URL, settings)))
    project = load_project(tmp_path, resolve_secrets=False)
    assert project.sources["erp"].url == "${UNSET}"
    assert project.sources["erp"].heartbeat_s == 10
    assert project.sources["erp"].retain_max == 1 << 30


def test_without_its_value_a_required_setting_cannot_be_checked(tmp_path: Path) -> None:
    write(
        tmp_path,
        changed(("tailrace.yml", "tables: [sales.*]\ntargets", 'tables: ["${UNSET}"]\ntargets')),
    )
    with pytest.raises(ConfigError, match=r"tables cannot be checked while \$\{UNSET\}") as caught:
        load_project(tmp_path, resolve_secrets=False)
    assert caught.value.where["line"] == 7


def test_a_malformed_reference_is_found_offline(tmp_path: Path) -> None:
    write(tmp_path, changed(("tailrace.yml", ERP_URL, '"${UNSET"')))
    with pytest.raises(ConfigError, match="not closed") as caught:
        load_project(tmp_path, resolve_secrets=False)
    assert caught.value.where["line"] == 6


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("project: acme", "project: ${SET}", 2),
        ("source: erp", "source: ${SET}", 14),
        ("[erp_customer]", '["${SET}"]', 18),
        ("type: postgres\n    url: postgresql://tailrace:pw@hub", "type: ${SET}\n    url: x", 10),
    ],
)
def test_a_reference_elsewhere_is_refused(tmp_path: Path, old: str, new: str, line: int) -> None:
    write(tmp_path, changed(("tailrace.yml", old, new)))
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert caught.value.where["line"] == line
    assert "references" in caught.value.what or "is not known" in caught.value.what


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("url", f"postgres//u:{SECRET}@h"),
        ("url", f"postgresql://u:{SECRET}/x@h"),
        ("retain_max", SECRET),
        ("heartbeat_s", SECRET),
        ("slot", SECRET),
        ("publication", SECRET * 10),
        ("on_limit", SECRET),
        ("tables", SECRET),
    ],
)
def test_what_a_reference_gives_is_in_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv("SET", value)
    where = ERP_URL if setting == "url" else f"{ERP_URL}\n    {setting}: "
    reference = '["${SET}"]' if setting == "tables" else "${SET}"
    text = changed(("tailrace.yml", ERP_URL, reference if setting == "url" else where + reference))
    if setting == "tables":
        text["tailrace.yml"] = text["tailrace.yml"].replace("    tables: [sales.*]\n", "", 1)
    write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert SECRET not in str(caught.value)
    assert caught.value.where["file"] == "tailrace.yml"


def test_no_url_is_in_a_repr_or_a_dump(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    for settings in (*project.sources.values(), *project.targets.values()):
        assert (
            "pw" not in f"{settings!r}{settings}{settings.model_dump()}{settings.model_dump_json()}"
        )
        assert settings.url.startswith("postgresql://tailrace:pw@")
    assert "pw@" not in repr(project)


def test_the_environment_is_left_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    load_project(write(tmp_path, GOOD))
    assert dict(os.environ) == before
