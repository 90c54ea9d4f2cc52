"""Which source owns which field: what is refused, where, and what a target's plan then is."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_project
from config.owners import composites, seen_entities
from tailrace.errors import ConfigError
from tests.config.projects import Change, is_refused, replaced, write
from transforms.composite import OwnedField

FILES = {
    "tailrace.yml": """\
version: 1
project: acme
sources:
  erp: {type: postgres, url: "postgresql://t:p@erp.example/erp", tables: [sales.*]}
  crm: {type: postgres, url: "postgresql://t:p@crm.example/crm", tables: [sales.*]}
targets:
  hub: {type: postgres, url: "postgresql://t:p@hub.example/hub"}
pipelines:
  from_erp: {source: erp, target: hub, mappings: [erp_customer]}
  from_crm: {source: crm, target: hub, mappings: [crm_customer]}
""",
    "entities/customer.yml": """\
entity: customer
key: [no]
fields:
  no: {type: text, required: true}
  name: {type: text, required: true}
  phone: {type: text}
  mail: {type: text, required: true}
system_of_record:
  rows: erp
  default: erp
  phone: crm
  mail: {newest: [erp, crm]}
""",
    "mappings/erp_customer.yml": """\
mapping: erp_customer
entity: customer
table: sales.kunden
key: {no: "'C-' || id"}
fields:
  name: name
  phone: telefon
  mail: mail
""",
    "mappings/crm_customer.yml": """\
mapping: crm_customer
entity: customer
table: sales.contact
key: {no: "'C-' || id"}
fields:
  phone: phone
  mail: mail
""",
}
ENTITY, ERP, CRM, MAIN = (
    "entities/customer.yml",
    "mappings/erp_customer.yml",
    "mappings/crm_customer.yml",
    "tailrace.yml",
)
RECORD = FILES[ENTITY][FILES[ENTITY].index("system_of_record") :]


def changed(*changes: Change) -> dict[str, str]:
    return replaced(FILES, *changes)


def test_the_plan_of_a_target(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, FILES))
    (plan,) = composites(project, "hub").values()
    assert (plan.rows, plan.key) == ("erp", ("no",))
    assert {side.source: side.fields for side in plan.sides} == {
        "crm": ("phone", "mail"),
        "erp": ("name", "phone", "mail"),
    }
    assert plan.fields == (
        OwnedField("name", "first", ("erp",)),
        OwnedField("phone", "first", ("crm",)),
        OwnedField("mail", "newest", ("erp", "crm")),
    )
    assert [str(table.table) for table in plan.tables] == [
        "public.customer",
        "tailrace.customer__crm",
        "tailrace.customer__erp",
    ]


def test_required_is_judged_on_the_owner(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, FILES))
    held = {
        pipeline: {
            name
            for name, field in seen_entities(project, pipeline)["customer"].fields.items()
            if field.required
        }
        for pipeline in project.pipelines
    }
    assert held == {"from_erp": {"no", "name", "mail"}, "from_crm": {"no", "mail"}}


def test_what_a_target_may_not_have_is_not_in_its_plan(tmp_path: Path) -> None:
    files = changed(
        (MAIN, 'hub.example/hub"}', 'hub.example/hub", protect: {secret: drop}}'),
        (ENTITY, "phone: {type: text}", "phone: {type: text, class: secret}"),
    )
    (plan,) = composites(load_project(write(tmp_path, files)), "hub").values()
    assert [column.name for column in plan.columns] == ["no", "name", "mail"]
    assert plan.side("crm").fields == ("mail",)
    assert [field.name for field in plan.fields] == ["name", "mail"]


def test_an_entity_of_one_source_goes_straight(tmp_path: Path) -> None:
    files = changed(
        (MAIN, "  from_crm: {source: crm, target: hub, mappings: [crm_customer]}\n", ""),
        (ENTITY, RECORD, "system_of_record: {rows: erp, default: erp}\n"),
    )
    del files[CRM]
    assert composites(load_project(write(tmp_path, files)), "hub") == {}


BAD = {
    "no system of record": (
        [(ENTITY, RECORD, "")],
        f"{CRM}:6",
        f"mapping erp_customer ({ERP}:1) of source erp and mapping crm_customer ({CRM}:1) of source"
        " crm both write public.customer of hub and claim phone, mail",
    ),
    "no owner": (
        [(ENTITY, "  default: erp\n", "")],
        f"{ENTITY}:8",
        "name of customer has no owner, and erp delivers it",
    ),
    "rows of nobody": ([(ENTITY, "  rows: erp\n", "")], f"{ENTITY}:8", "rows is missing"),
    "an unknown source": (
        [(ENTITY, "phone: crm", "phone: cmr")],
        f"{ENTITY}:11",
        "system_of_record.phone: there is no source 'cmr'",
    ),
    "an unknown source in a list": (
        [(ENTITY, "[erp, crm]", "[erp, cmr]")],
        f"{ENTITY}:12",
        "system_of_record.mail: there is no source 'cmr'",
    ),
    "a source twice": (
        [(ENTITY, "[erp, crm]", "[erp, erp]")],
        f"{ENTITY}:12",
        "a source is named twice",
    ),
    "an unknown rule": (
        [(ENTITY, "newest:", "latest:")],
        f"{ENTITY}:12",
        "write a source, a list of sources",
    ),
    "two owners": (
        [(ENTITY, "  phone: crm\n", "  phone: crm\n  phone: erp\n")],
        f"{ENTITY}:12",
        "phone",
    ),
    "not a field": (
        [(ENTITY, "phone: crm", "fone: crm")],
        f"{ENTITY}:11",
        "system_of_record.fone: customer has no such field",
    ),
    "the key": (
        [(ENTITY, "phone: crm", "no: crm")],
        f"{ENTITY}:11",
        "the key has no owner, since every source gives it",
    ),
    "an owner that does not deliver": (
        [(CRM, "  phone: phone\n", "")],
        f"{ENTITY}:11",
        "crm owns phone of customer, but no mapping of it delivers it to public.customer of hub",
    ),
    "a default that does not deliver": (
        [(ENTITY, "  phone: crm\n", ""), (ERP, "  phone: telefon\n", "")],
        f"{CRM}:6",
        "mapping crm_customer delivers phone of customer, which erp owns and does not deliver",
    ),
    "rows of a source that does not feed it": (
        [(MAIN, "mappings: [erp_customer]", "replicate: [{tables: [sales.*]}]")],
        f"{ENTITY}:9",
        "erp makes the rows of customer, but no mapping of it writes public.customer of hub",
    ),
    "rows of others": (
        [(CRM, "entity: customer\n", "entity: customer\nexisting: keep\n")],
        f"{CRM}:3",
        "rows of others cannot be kept in public.customer of hub",
    ),
    "a name of ours": (
        [
            (ENTITY, "  name: {", "  tailrace_name: {"),
            (ERP, "  name: name", "  tailrace_name: name"),
        ],
        f"{ENTITY}:5",
        "names in tailrace_… are ours",
    ),
    "a field called rows": (
        [(ENTITY, "  name: {", "  rows: {"), (ERP, "  name: name", "  rows: name")],
        f"{ENTITY}:9",
        "a field is called rows, too",
    ),
    "required of the owner": (
        [(ERP, "  name: name\n", "")],
        f"{ERP}:5",
        "name of customer is required, and no mapping delivers it",
    ),
    "emptied by its owner": (
        [(ERP, "fields:\n", "on_delete: set_null\nfields:\n")],
        f"{ERP}:5",
        "on_delete: set_null would empty name, which is required",
    ),
    "one source twice": (
        [
            (MAIN, "from_crm: {source: crm", "from_crm: {source: erp"),
            (ENTITY, RECORD, ""),
        ],
        f"{CRM}:2",
        "both write public.customer of hub",
    ),
    "a table each": (
        [
            (ERP, "key: {no", "into: hub.customer\nkey: {no"),
            (CRM, "key: {no", "into: hub.other\nkey: {no"),
        ],
        f"{ENTITY}:9",
        "erp makes the rows of customer, but no mapping of it writes hub.other of hub",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    changes, place, text = BAD[name]
    is_refused(tmp_path, changed(*changes), place, text)


def test_a_non_owner_may_leave_a_required_field_empty(tmp_path: Path) -> None:
    """It does not own the name, so it may say nothing of it, and be emptied."""
    files = changed((CRM, "fields:\n", "fields:\n  name: full_name\n"))
    load_project(write(tmp_path, files))
    files[ENTITY] = files[ENTITY].replace("mail: {newest: [erp, crm]}", "mail: erp")
    files[CRM] = files[CRM].replace("fields:\n", "on_delete: set_null\nfields:\n")
    load_project(write(tmp_path / "emptied", files))


def test_a_list_alone_is_the_first_with_a_value(tmp_path: Path) -> None:
    files = changed((ENTITY, "{newest: [erp, crm]}", "[crm, erp]"))
    project = load_project(write(tmp_path, files))
    (plan,) = composites(project, "hub").values()
    assert plan.fields[-1] == OwnedField("mail", "first", ("crm", "erp"))
    assert not seen_entities(project, "from_crm")["customer"].fields["mail"].required


def test_a_source_is_held_to_what_it_owns(tmp_path: Path) -> None:
    files = changed(
        (ENTITY, "phone: {type: text}", 'phone: {type: text, pattern: "[0-9]+", length: {max: 9}}'),
        (ENTITY, "key: [no]\n", 'key: [no]\nchecks: {named: "no <> name"}\n'),
    )
    project = load_project(write(tmp_path, files))
    erp = seen_entities(project, "from_erp")["customer"]
    crm = seen_entities(project, "from_crm")["customer"]
    assert (erp.fields["phone"].pattern, erp.fields["phone"].length) == (None, None)
    assert crm.fields["phone"].pattern == "[0-9]+"
    assert (set(erp.checks), set(crm.checks)) == ({"named"}, set())


def test_every_owner_of_a_list_keeps_what_is_demanded_of_a_value(tmp_path: Path) -> None:
    files = changed((ENTITY, "{newest: [erp, crm]}", "[crm, erp]"))
    field = "mail: {type: text, required: true"
    assert field in files[ENTITY]
    files[ENTITY] = files[ENTITY].replace(field, field + ', pattern: ".+@.+"')
    project = load_project(write(tmp_path, files))
    seen = {key: seen_entities(project, key)["customer"].fields["mail"] for key in
            ("from_crm", "from_erp")}  # fmt: skip
    assert {key: field.pattern for key, field in seen.items()} == dict.fromkeys(seen, ".+@.+")
    assert {key: field.required for key, field in seen.items()} == {
        "from_crm": False,
        "from_erp": True,
    }


def test_a_check_over_two_owners_is_refused(tmp_path: Path) -> None:
    files = changed((ENTITY, "key: [no]\n", 'key: [no]\nchecks: {both: "name <> phone"}\n'))
    with pytest.raises(ConfigError, match="no source owns all that it reads") as raised:
        load_project(write(tmp_path, files))
    assert (raised.value.where["file"], raised.value.where["line"]) == (ENTITY, 3)
