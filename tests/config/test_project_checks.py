"""What is wrong with a project: said with file, line and the way out; nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_project
from config.problems import ConfigErrors
from tailrace.errors import ConfigError
from tests.config.projects import GOOD, Change, changed, refused, write

MAIN = "tailrace.yml"
ENTITY = "entities/customer.yml"
MAPPING = "mappings/erp_customer.yml"
LONG = "e" * 14
SECOND = """\
  second:
    source: erp
    target: hub
"""


def test_a_good_project_is_loaded(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    assert project.project == "acme"
    assert list(project.sources) == ["erp"]
    assert project.sources["erp"].tables == ("sales.*",)
    assert project.pipelines_of("erp") == ["erp_to_hub"]
    assert project.pipelines_of("hub") == []
    assert [mapping.mapping for mapping in project.pipeline_mappings("erp_to_hub")] == [
        "erp_customer"
    ]
    assert project.where("pipelines", "erp_to_hub", "target")["line"] == 15
    assert project.where_in_mapping("erp_customer", ("fields", "name")) == {
        "file": MAPPING,
        "line": 7,
        "column": 3,
    }
    rule = project.mappings["erp_customer"].parts[0][1].fields["status"]
    assert rule.codes == {"A": "active", "no": "blocked", None: "none"}


@pytest.mark.parametrize("text", ["no", "010", "12:30:45", "2024-01-31", "1e3", "null"])
def test_a_constant_stays_what_was_written(tmp_path: Path, text: str) -> None:
    old = "status: {from: kz, values: {A: active, no: blocked, null: none}, otherwise: null}"
    change = (MAPPING, old, f"status: {{value: {text}}}")
    rule = load_project(write(tmp_path, changed(change))).mappings["erp_customer"].parts[0][1]
    assert rule.fields["status"].value == text


def test_nested_folders_are_read_and_hidden_files_are_not(tmp_path: Path) -> None:
    files: dict[str, str] = dict(GOOD)
    files["mappings/sales/de/x.yaml"] = files.pop(MAPPING)
    files["mappings/.#erp_customer.yml"] = "what an editor left behind"
    files["mappings/.old/x.yml"] = "and a tool"
    project = load_project(write(tmp_path, files))
    assert project.mapping_places["erp_customer"].file == "mappings/sales/de/x.yaml"


def test_a_directory_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no project here") as caught:
        load_project(tmp_path)
    assert "tailrace init" in str(caught.value.fix)
    write(tmp_path, {"tailrace.yaml": GOOD[MAIN]})
    with pytest.raises(ConfigError, match="no project here") as caught:
        load_project(tmp_path)
    assert caught.value.fix == "rename tailrace.yaml to tailrace.yml"


CASES: list[tuple[str, tuple[Change, ...], str, int, str, str | None]] = [
    # name, changes, file, line, part of the message, part of the fix
    (
        "unknown key",
        ((MAIN, "    target: hub\n", "    target: hub\n    replicat: x\n"),),
        *(MAIN, 16, "pipelines.erp_to_hub.replicat: this key is not known", "'replicate'"),
    ),
    (
        "unknown key of a source",
        ((MAIN, "    tables: [sales.*]\ntargets", "    table: [sales.*]\ntargets"),),
        *(MAIN, 7, "sources.erp.table: this key is not known", "did you mean 'tables'?"),
    ),
    (
        "a key of the design that is not built",
        ((ENTITY, "status: {type: text}", "status: {type: text, format: email}"),),
        *(ENTITY, 7, "fields.status.format: this key is not known", "known are: required"),
    ),
    (
        "unknown key at the top",
        ((MAIN, "project: acme\n", "project: acme\nsecrets: {a: b}\n"),),
        *(MAIN, 3, "secrets: this key is not known", "known are: version, project"),
    ),
    (
        "unbuilt source",
        (
            (
                MAIN,
                "type: postgres\n    url: postgresql://tailrace:pw@erp",
                "type: oracle\n    url: x",
            ),
        ),
        *(
            MAIN,
            5,
            "sources.erp.type: 'oracle' is not known",
            "built are: kafka-debezium, mariadb, mysql, postgres",
        ),
    ),
    (
        "unbuilt target",
        (
            (
                MAIN,
                "type: postgres\n    url: postgresql://tailrace:pw@hub",
                "type: oracle\n    url: x",
            ),
        ),
        *(
            MAIN,
            10,
            "targets.hub.type: 'oracle' is not known",
            "built are: duckdb, http, kafka, mariadb, mysql, postgres, sqlite",
        ),
    ),
    (
        "missing key",
        ((MAIN, "project: acme\n", ""),),
        *(MAIN, 1, "project is missing", None),
    ),
    (
        "missing key inside",
        ((MAIN, "    source: erp\n", ""),),
        *(MAIN, 13, "pipelines.erp_to_hub.source is missing", None),
    ),
    (
        "version",
        ((MAIN, "version: 1", "version: 2"),),
        *(MAIN, 1, "version is not one of the values", "write '1'"),
    ),
    (
        "name",
        ((MAIN, "  erp:\n", "  Erp:\n"),),
        *(MAIN, 4, "sources.Erp: a name begins with a letter", None),
    ),
    (
        "long name",
        ((MAIN, "project: acme", "project: " + "a" * 42),),
        *(MAIN, 2, "at most 41", None),
    ),
    (
        "text instead of a list",
        ((MAIN, "tables: [sales.*]\ntargets", "tables: sales.*\ntargets"),),
        *(MAIN, 7, "sources.erp.tables is not a list", "write [a, b]"),
    ),
    (
        "list instead of keys",
        (
            (MAIN, "    source: erp\n    target: hub\n", "    - source\n    - target\n"),
            (MAIN, '    replicate:\n      - {tables: [sales.*], into: "{schema}.{table}"}\n', ""),
            (MAIN, "    mappings: [erp_customer]\n", ""),
        ),
        *(MAIN, 13, "pipelines.erp_to_hub is not made of `key: value`", None),
    ),
    (
        "text instead of keys",
        ((ENTITY, "status: {type: text}", "status: text"),),
        *(ENTITY, 7, "fields.status is not made of", None),
    ),
    (
        "keys instead of text",
        ((MAIN, "source: erp", "source: {a: b}"),),
        *(MAIN, 14, "pipelines.erp_to_hub.source is not text", None),
    ),
    (
        "empty list",
        ((MAIN, "tables: [sales.*]\ntargets", "tables: []\ntargets"),),
        *(MAIN, 7, "sources.erp.tables holds nothing", None),
    ),
    (
        "only exclusions",
        ((MAIN, "tables: [sales.*]\ntargets", 'tables: ["!sales.*"]\ntargets'),),
        *(MAIN, 7, "every pattern excludes", None),
    ),
    (
        "pattern without schema",
        ((MAIN, "{tables: [sales.*]", "{tables: [kunden]"),),
        *(MAIN, 17, "'kunden' is not a table pattern", None),
    ),
    (
        "number",
        ((MAIN, "[sales.*]\ntargets", "[sales.*]\n    heartbeat_s: often\ntargets"),),
        *(MAIN, 8, "heartbeat_s is not a number", None),
    ),
    (
        "number too small",
        ((MAIN, "[sales.*]\ntargets", "[sales.*]\n    heartbeat_s: 0\ntargets"),),
        *(MAIN, 8, "heartbeat_s is too small", "at least 1"),
    ),
    (
        "size",
        ((MAIN, "[sales.*]\ntargets", "[sales.*]\n    retain_max: lots\ntargets"),),
        *(MAIN, 8, "'lots' is not a size", None),
    ),
    (
        "size too small",
        ((MAIN, "[sales.*]\ntargets", "[sales.*]\n    retain_max: 1MB\ntargets"),),
        *(MAIN, 8, "retain_max is too small", "at least 64 MB"),
    ),
    (
        "choice",
        ((MAIN, "[sales.*]\ntargets", "[sales.*]\n    on_limit: no\ntargets"),),
        *(MAIN, 8, "on_limit is not one of", "'hold' or 'drop_slot'"),
    ),
    (
        "flag",
        ((ENTITY, "status: {type: text}", "status: {type: text, required: yes}"),),
        *(ENTITY, 7, "write true or false", None),
    ),
    (
        "field type",
        ((ENTITY, "status: {type: text}", "status: {type: varchar}"),),
        *(ENTITY, 7, "'varchar' is no field type", None),
    ),
    (
        "unknown source",
        ((MAIN, "source: erp", "source: epr"),),
        *(MAIN, 14, "there is no source 'epr'", "did you mean 'erp'?"),
    ),
    (
        "unknown target",
        ((MAIN, "target: hub", "target: lake"),),
        *(MAIN, 15, "there is no target 'lake'", "targets are: hub"),
    ),
    (
        "unknown mapping",
        ((MAIN, "[erp_customer]", "[erp_customer, erp_custmer]"),),
        *(MAIN, 18, "there is no mapping 'erp_custmer'", "did you mean 'erp_customer'?"),
    ),
    (
        "mapping twice in a pipeline",
        ((MAIN, "[erp_customer]", "[erp_customer, erp_customer]"),),
        *(MAIN, 18, "names 'erp_customer' twice", "remove"),
    ),
    (
        "pipeline that moves nothing",
        ((MAIN, "pipelines:\n", f"pipelines:\n{SECOND}"),),
        *(MAIN, 13, "pipelines.second moves nothing", "`replicate`"),
    ),
    (
        "mapping in two files",
        (("mappings/z.yml", "", GOOD[MAPPING]),),
        *("mappings/z.yml", 1, f"declared twice: also in {MAPPING}:1", "rename"),
    ),
    (
        "entity in two files",
        (("entities/z.yml", "", GOOD[ENTITY]),),
        *("entities/z.yml", 1, f"declared twice: also in {ENTITY}:1", "rename"),
    ),
    (
        "unknown entity",
        ((MAPPING, "entity: customer", "entity: custmer"),),
        *(MAPPING, 2, "there is no entity custmer", "did you mean customer?"),
    ),
    (
        "unknown field",
        ((MAPPING, "  name: ", "  nam: "),),
        *(MAPPING, 7, "customer has no field nam", "did you mean name?"),
    ),
    (
        "forbidden function",
        ((MAPPING, "trim(name1)", "pg_read_file(name1)"),),
        *(MAPPING, 7, "pg_read_file", None),
    ),
    (
        "statement",
        ((MAPPING, '"mandant = 1"', '"mandant = (select 1)"'),),
        *(MAPPING, 9, "mapping erp_customer, where", None),
    ),
    (
        "expression that does not parse",
        ((MAPPING, "trim(name1)", "trim(name1"),),
        *(MAPPING, 7, "field name", None),
    ),
    (
        "required field that nothing delivers",
        ((MAPPING, '  name: "trim(name1)"\n', ""),),
        *(MAPPING, 6, "name of customer is required, and no mapping delivers it", "add name"),
    ),
    (
        "identifier of more than 63 bytes",
        ((MAPPING, "  name: ", f"  {'ö' * 32}: "),),
        *(MAPPING, 7, "at most 63 bytes", None),
    ),
    (
        "mapping of a table that is not captured",
        ((MAPPING, "table: sales.kunden", "table: crm.kunden"),),
        *(MAPPING, 3, "reads crm.kunden, which source erp does not capture", "sources.erp.tables"),
    ),
    (
        "replicated table that is not captured",
        ((MAIN, "{tables: [sales.*]", "{tables: [crm.kunden]"),),
        *(MAIN, 17, "captures no table that matches crm.kunden", "sources.erp.tables"),
    ),
    (
        "replicated schema that is not captured",
        ((MAIN, "{tables: [sales.*]", "{tables: [sales.*, crm.*]"),),
        *(MAIN, 17, "captures no table that matches crm.*", "sources.erp.tables"),
    ),
    (
        "replicated table that is excluded",
        (
            (MAIN, "tables: [sales.*]\ntargets", 'tables: [sales.*, "!sales.tmp"]\ntargets'),
            (MAIN, "{tables: [sales.*]", "{tables: [sales.tmp]"),
        ),
        *(MAIN, 17, "captures no table that matches sales.tmp", None),
    ),
    (
        "all tables into one",
        ((MAIN, '"{schema}.{table}"', '"copy.{schema}"'),),
        *(MAIN, 17, "writes all tables that match into copy.{schema}", "{table}"),
    ),
    (
        "two tables into one",
        ((MAIN, '[sales.*], into: "{schema}.{table}"', '[sales.a, sales.b], into: "copy.x"'),),
        *(MAIN, 17, "copy of sales.b and pipeline erp_to_hub's copy of sales.a", "`into`"),
    ),
    (
        "template",
        ((MAIN, '"{schema}.{table}"', '"{schema}.{tabel}"'),),
        *(MAIN, 17, "only {schema} and {table} are filled in", None),
    ),
    (
        "copy into our schema",
        ((MAIN, '"{schema}.{table}"', '"tailrace.{table}"'),),
        *(MAIN, 17, "writes into schema tailrace", "`into`"),
    ),
    (
        "mapping into a system schema",
        ((MAPPING, "entity: customer\n", "entity: customer\ninto: pg_catalog.x\n"),),
        *(MAPPING, 3, "writes into schema pg_catalog", "`into`"),
    ),
    (
        "mapping and copy into one table",
        (
            (MAPPING, "entity: customer\n", "entity: customer\ninto: sales.kunden\n"),
            (MAIN, "{tables: [sales.*]", "{tables: [sales.kunden]"),
        ),
        *(MAIN, 17, f"mapping erp_customer in pipeline erp_to_hub ({MAPPING}:3) both write", None),
    ),
    (
        "one mapping in two pipelines of a target",
        ((MAIN, "pipelines:\n", f"pipelines:\n{SECOND}    mappings: [erp_customer]\n"),),
        *(MAPPING, 2, "both write public.customer of hub", "`into`"),
    ),
    (
        "one rule in two pipelines",
        ((MAIN, "pipelines:\n", f"pipelines:\n{SECOND}    replicate: [{{tables: [sales.*]}}]\n"),),
        *(MAIN, 21, "pipelines second (tailrace.yml:16) and erp_to_hub both copy", "`into`"),
    ),
    (
        "one table in two pipelines",
        ((MAIN, "pipelines:\n", f"pipelines:\n{SECOND}    replicate: [{{tables: [sales.a]}}]\n"),),
        *(MAIN, 21, "pipeline second's copy of sales.a (tailrace.yml:16) both write", "`into`"),
    ),
    (
        "source and target one database",
        ((MAIN, "pw@hub.example/hub", "pw@erp.example/erp"),),
        *(MAIN, 17, "copies tables onto themselves", "another schema"),
    ),
    (
        "table onto itself",
        (
            (MAIN, "pw@hub.example/hub", "pw@erp.example/erp"),
            (MAIN, "{tables: [sales.*]", "{tables: [sales.x]"),
        ),
        *(MAIN, 17, "copy of sales.x writes the table it reads", "`into`"),
    ),
    (
        "slot name that would be cut off",
        (
            (MAIN, "project: acme", "project: " + "a" * 41),
            (
                MAIN,
                "sources:\n",
                f"sources:\n  {LONG}: {{type: postgres, url: host=h, tables: [a.*]}}\n",
            ),
        ),
        *(MAIN, 4, "a slot named after project and source", "set `slot`"),
    ),
    (
        "slot of two sources",
        (
            (MAIN, "tables: [sales.*]\ntargets", "tables: [sales.*]\n    slot: s\ntargets"),
            (
                MAIN,
                "sources:\n",
                "sources:\n  crm: {type: postgres, slot: s, tables: [a.*],"
                " url: postgresql://tailrace:pw@erp.example/erp}\n",
            ),
        ),
        *(MAIN, 9, "sources.erp.slot is that of sources.crm", "another"),
    ),
]


@pytest.mark.parametrize(
    ("changes", "file", "line", "what", "fix"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, changes: tuple[Change, ...], file: str, line: int, what: str, fix: str | None
) -> None:
    found = refused(tmp_path, changed(*changes))
    assert len(found) == 1, [str(error) for error in found]
    error = found[0]
    assert what in error.what
    assert (error.where["file"], error.where["line"]) == (file, line)
    assert "column" in error.where
    assert fix is None or fix in (error.fix or "")


def test_everything_wrong_is_said_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    changes = [
        (MAPPING, "dialect: postgres", "dialect: db2"),
        (ENTITY, "steward", "stewart"),
        (MAIN, "project: acme", "project: Acme"),
        (MAIN, "    target: hub\n", "    target: hub\n    colour: red\n"),
        ("mappings/broken.yml", "", "a: [\n"),
    ]
    found = refused(tmp_path, changed(*changes))
    places = [f"{error.where['file']}:{error.where['line']}" for error in found]
    assert places == [
        "tailrace.yml:2",
        "tailrace.yml:16",
        "entities/customer.yml:2",
        "mappings/broken.yml:2",
        "mappings/erp_customer.yml:4",
    ]


def test_very_many_errors_are_cut_short_in_the_text(tmp_path: Path) -> None:
    lines = "".join(f"  f{n}: {{typ: text}}\n" for n in range(50))
    write(tmp_path, changed((ENTITY, "  status: {type: text}\n", lines)))
    with pytest.raises(ConfigErrors) as caught:
        load_project(tmp_path)
    assert len(caught.value.errors) == 50
    assert str(caught.value).endswith("… and 30 more")


def test_two_pipelines_may_share_a_target_where_they_write_other_tables(tmp_path: Path) -> None:
    rule = '    replicate: [{tables: [sales.*], into: "other.{table}"}]\n'
    project = load_project(
        write(tmp_path, changed((MAIN, "pipelines:\n", f"pipelines:\n{SECOND}{rule}")))
    )
    assert len(project.pipelines) == 2


def test_a_database_may_be_copied_into_another_schema_of_itself(tmp_path: Path) -> None:
    changes = [
        (MAIN, "pw@hub.example/hub", "pw@erp.example/erp"),
        (MAIN, '"{schema}.{table}"', '"copy.{table}"'),
    ]
    load_project(write(tmp_path, changed(*changes)))
