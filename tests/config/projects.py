"""Project directories for tests: a good one, and what is changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.load import load_project
from config.problems import each
from tailrace.errors import ConfigError

GOOD = {
    "tailrace.yml": """\
version: 1
project: acme
sources:
  erp:
    type: postgres
    url: postgresql://tailrace:pw@erp.example/erp
    tables: [sales.*]
targets:
  hub:
    type: postgres
    url: postgresql://tailrace:pw@hub.example/hub
pipelines:
  erp_to_hub:
    source: erp
    target: hub
    replicate:
      - {tables: [sales.*], into: "{schema}.{table}"}
    mappings: [erp_customer]
""",
    "entities/customer.yml": """\
entity: customer
steward: sales-operations
key: [customer_no]
fields:
  customer_no: {type: text, required: true}
  name: {type: text, required: true}
  status: {type: text}
""",
    "mappings/erp_customer.yml": """\
mapping: erp_customer
entity: customer
table: sales.kunden
dialect: postgres
key: {customer_no: "'E-' || id"}
fields:
  name: "trim(name1)"
  status: {from: kz, values: {A: active, no: blocked, null: none}, otherwise: null}
where: "mandant = 1"
on_delete: delete
""",
}

Change = tuple[str, str, str]
"""(file, text, what stands there instead)"""


def write(directory: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return directory


def changed(*changes: Change) -> dict[str, str]:
    """The good project with other text in it."""
    return replaced(GOOD, *changes)


def replaced(files: Mapping[str, str], *changes: Change) -> dict[str, str]:
    """Files with other text in them; a file of its own where the text to replace is ""."""
    files = dict(files)
    for file, old, new in changes:
        if old:
            assert files[file].count(old) == 1, (file, old)
            files[file] = files[file].replace(old, new)
        else:
            files[file] = new
    return files


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file below `directory` and what it holds."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def refused(directory: Path, files: dict[str, str]) -> list[ConfigError]:
    """What is wrong with the project; looking changes nothing of it."""
    write(directory, files)
    before = snapshot(directory)
    with pytest.raises(ConfigError) as caught:
        load_project(directory)
    assert snapshot(directory) == before
    assert caught.value.exit_code == 2
    found = each(caught.value)
    for error in found:
        assert error.what in str(caught.value)
    return found


def is_refused(directory: Path, files: dict[str, str], place: str, what: str) -> None:
    """One error says `what` of ``FILE:LINE``."""
    shown = [
        f"{error.where.get('file')}:{error.where.get('line')}: {error.what}"
        for error in refused(directory, files)
    ]
    assert any(one.startswith(f"{place}: ") and what in one for one in shown), shown
