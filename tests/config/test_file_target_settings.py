"""What the files say of targets that are files."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_project
from tailrace.errors import ConfigError
from tests.config.projects import write

PROJECT = """version: 1
project: acme
sources:
  erp: {{type: postgres, url: "postgresql://x/erp", tables: [sales.*]}}
targets:
{targets}
pipelines:
{pipelines}
"""
COPY = "replicate: [{tables: [sales.*], into: '{schema}.{table}'}]"


def project(directory: Path, targets: str, pipelines: str) -> Path:
    (directory / "tailrace.yml").write_text(PROJECT.format(targets=targets, pipelines=pipelines))
    return directory


def one(directory: Path, target: str) -> Path:
    return project(
        directory, f"  hub: {{{target}}}", f"  line: {{source: erp, target: hub, {COPY}}}"
    )


def test_a_path_begins_at_the_project(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    found = load_project(one(tmp_path / "p", "type: sqlite, path: data/../hub.db"))
    assert found.targets["hub"].file == tmp_path / "p" / "hub.db"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path", ['":memory:"', '"file:hub.db"', '"sqlite:///hub.db"', "data/", '" "']
)
def test_what_is_no_file_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"path"):
        load_project(one(tmp_path, f"type: duckdb, path: {path}"))


def test_a_file_is_declared_once(tmp_path: Path) -> None:
    targets = "  a: {type: sqlite, path: hub.db}\n  b: {type: duckdb, path: ./hub.db}"
    pipelines = "\n".join(
        f"  {name}: {{source: erp, target: {name}, {COPY}}}" for name in ("a", "b")
    )
    with pytest.raises(ConfigError, match=r"targets.b.path is the file of targets.a, too"):
        load_project(project(tmp_path, targets, pipelines))


def test_several_sources_of_an_entity_are_refused(tmp_path: Path) -> None:
    project(
        tmp_path,
        "  hub: {type: sqlite, path: hub.db}",
        "  one: {source: erp, target: hub, mappings: [erp_customer]}\n"
        "  two: {source: crm, target: hub, mappings: [crm_customer]}",
    )
    text = (tmp_path / "tailrace.yml").read_text()
    text = text.replace(
        "targets:",
        '  crm: {type: postgres, url: "postgresql://x/crm", tables: [sales.*]}\ntargets:',
    )
    (tmp_path / "tailrace.yml").write_text(text)
    files = {
        "entities/customer.yml": "entity: customer\nkey: [no]\nfields: {no: {type: text},"
        " name: {type: text}, phone: {type: text}}\n"
        "system_of_record: {rows: erp, default: erp, phone: crm}\n"
    }
    for source, field in (("erp", "name"), ("crm", "phone")):
        files[f"mappings/{source}.yml"] = (
            f"mapping: {source}_customer\nentity: customer\ntable: sales.customer\n"
            f"key: {{no: id}}\nfields: {{{field}: {field}}}\n"
        )
    write(tmp_path, files)
    with pytest.raises(ConfigError, match="several sources feed entity customer"):
        load_project(tmp_path)
