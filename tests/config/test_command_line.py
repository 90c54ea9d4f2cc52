"""The command's exit codes and messages, and what `init` and `validate` do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.load import load_project
from tailrace.service import cli
from tailrace.service.cli import COMMANDS
from tests.config.projects import GOOD, changed, snapshot, write

MAIN = "tailrace.yml"


def tailrace(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_URL")}
    return subprocess.run(
        [sys.executable, "-m", "tailrace.service", *map(str, arguments)],
        env=environment | variables,
        cwd=Path(cli.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    done = tailrace("--help")
    assert done.returncode == 0
    for name, text in COMMANDS.items():
        assert name in done.stdout
        assert text.split()[0] in done.stdout
    look = "import sys, tailrace.service.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pyarrow", "duckdb", "sqlglot", "pydantic", "psycopg", "pymysql"} & set(loaded)


def test_the_table_of_commands_is_that_of_the_modules() -> None:
    folder = Path(cli.__file__).with_name("commands")
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(COMMANDS)


def test_version_says_which_variant_runs() -> None:
    done = tailrace("--version", TAILRACE_PURE="1")
    assert done.returncode == 0
    assert done.stdout.startswith("tailrace ")
    assert done.stdout.count("uncompiled") == 2


def test_a_new_project_is_valid_and_is_not_written_twice(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "acme"
    done = tailrace("--project", directory, "init")
    assert done.returncode == 0, done.stderr
    written = snapshot(directory)
    assert {MAIN, ".gitignore", ".env.example", ".tailrace/schema/mapping.json"} <= set(written)
    assert (directory / "entities").is_dir()
    assert (directory / "mappings").is_dir()
    assert tailrace("--project", directory, "validate").returncode == 0
    tested = tailrace("--project", directory, "mapping", "test")
    assert (tested.returncode, tested.stdout) == (0, "erp_customer: 4 of 4 examples ok\nok\n")

    again = tailrace("--project", directory, "init")
    assert again.returncode == 2
    assert "nothing was written" in again.stderr
    assert snapshot(directory) == written

    (directory / ".tailrace/schema/entity.json").write_text("old")
    assert tailrace("--project", directory, "init", "--schema").returncode == 0
    assert snapshot(directory) == written


def test_a_new_project_needs_its_variables_only_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tailrace("--project", tmp_path, "init").returncode == 0
    done = tailrace("--project", tmp_path, "run")
    assert done.returncode == 2
    assert f"{MAIN}:14:5: sources.erp.url: the variable ERP_URL is not set" in done.stderr
    assert f"{MAIN}:25:5: targets.hub.url: the variable HUB_URL is not set" in done.stderr
    for line in (tmp_path / ".env.example").read_text().splitlines():
        if not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    load_project(tmp_path)


@pytest.mark.parametrize(
    "old",
    ["# slot: tailrace_erp ", "# heartbeat_s: 10", "# retain_max: 20GB", "# on_limit: hold"],
)
def test_what_the_new_project_comments_out_is_accepted(tmp_path: Path, old: str) -> None:
    assert tailrace("--project", tmp_path, "init").returncode == 0
    path = tmp_path / MAIN
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, old.removeprefix("# ")))
    load_project(tmp_path, resolve_secrets=False)


def test_validate_says_where(tmp_path: Path) -> None:
    write(
        tmp_path, changed((MAIN, "target: hub", "target: hubb"), (MAIN, "source: erp", "source: x"))
    )
    before = snapshot(tmp_path)
    done = tailrace("--project", tmp_path, "validate")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{MAIN}:14:5: pipelines.erp_to_hub.source: there is no source 'x'  [TR-101]",
        "  → sources are: erp",
        f"{MAIN}:15:5: pipelines.erp_to_hub.target: there is no target 'hubb'  [TR-101]",
        "  → did you mean 'hub'?",
    ]
    assert snapshot(tmp_path) == before


def test_validate_in_json(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    done = tailrace("--project", tmp_path, "validate", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"errors": []})
    write(tmp_path, changed((MAIN, "target: hub", "target: hubb")))
    done = tailrace("--project", tmp_path, "validate", "-o", "json")
    assert done.returncode == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert error["kind"] == "ConfigError"
    assert error["where"] == {"file": MAIN, "line": 15, "column": 5}
    assert error["fix"] == "did you mean 'hub'?"


BOMB = b"a: &a [*a]\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["validate"], b"\xff"),
        (["validate"], b"a: " + b"[" * 100_000),
        (["validate"], b""),
        (["validate"], b"a: b\na: b\n"),
        *[
            ([name, *names], BOMB)
            for name, names in (
                ("validate", []),
                ("check", []),
                ("discover", ["erp"]),
                ("preview", ["erp_customer"]),
                ("run", []),
                ("capture", ["erp"]),
                ("deliver", ["erp_to_hub"]),
                ("status", []),
                ("remove", ["erp"]),
            )
        ],
    ],
)
def test_a_hostile_file_gets_exit_code_2_and_changes_nothing(
    tmp_path: Path, arguments: list[str], text: bytes
) -> None:
    write(tmp_path, {MAIN: text})
    done = tailrace("--project", tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith((f"{MAIN}:1:", f"{MAIN}:2:"))
    assert "Traceback" not in done.stderr
    assert snapshot(tmp_path) == {MAIN: text}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["validate", "--help"], 0),
        (["no_such_command"], 2),
        (["validate", "--no-such-option"], 2),
        (["validate", "-o", "xml"], 2),
        (["validate", "extra"], 2),
        (["capture"], 2),
    ],
)
def test_exit_codes_of_usage(arguments: list[str], code: int) -> None:
    done = tailrace(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_unexpected_error_shows_its_text_only_on_demand(tmp_path: Path, debug: str) -> None:
    write(tmp_path, GOOD)
    script = (
        "import config.load\n"
        "def fail(*_, **__): raise RuntimeError('a row value')\n"
        "config.load.load_project = fail\n"
        "import sys; sys.argv = ['tailrace', 'validate']\n"
        "from tailrace.service.cli import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TAILRACE_DEBUG": debug},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "unexpected RuntimeError" in done.stderr
    assert ("a row value" in done.stderr) is bool(debug)
    assert ("Traceback" in done.stderr) is bool(debug)
