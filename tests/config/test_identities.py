"""Identity in an entity's file: what is taken, and what is refused, where."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from config.load import load_project
from config.owners import composites
from sinks.postgres.identity_sql import said
from tests.config.projects import Change, is_refused, replaced, write
from transforms.evolution import compare

MAIN, ENTITY, ERP, SHOP = (
    "tailrace.yml",
    "entities/customer.yml",
    "mappings/erp_customer.yml",
    "mappings/shop_customer.yml",
)
FILES = {
    MAIN: """\
version: 1
project: acme
sources:
  erp: {type: postgres, url: "postgresql://t:p@erp.example/erp", tables: [sales.*]}
  shop: {type: postgres, url: "postgresql://t:p@shop.example/shop", tables: [sales.*]}
targets:
  hub: {type: postgres, url: "postgresql://t:p@hub.example/hub"}
pipelines:
  from_erp: {source: erp, target: hub, mappings: [erp_customer]}
  from_shop: {source: shop, target: hub, mappings: [shop_customer]}
""",
    ENTITY: """\
entity: customer
key: [id]
fields:
  id: {type: text, required: true}
  name: {type: text}
  mail: {type: text}
  tax: {type: text}
  born: {type: date}
system_of_record: {rows: erp, default: [erp, shop], tax: erp}
identity:
  match:
    - [tax, born]
    - [lower(trim(mail))]
    - - lower(name)
      - born
""",
    ERP: """\
mapping: erp_customer
entity: customer
table: sales.kunden
key: {id: "id"}
fields: {name: name, mail: mail, tax: stnr, born: geb}
""",
    SHOP: """\
mapping: shop_customer
entity: customer
table: sales.account
key: {id: "'A' || uid"}
fields: {name: name, mail: mail, tax: tax, born: born}
""",
}


def changed(*changes: Change) -> dict[str, str]:
    return replaced(FILES, *changes)


def test_the_rules_of_a_plan(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, FILES))
    (plan,) = composites(project, "hub").values()
    assert [[said(value.form) for value in rule.values] for rule in plan.match] == [
        ['"tax"', '"born"'],
        ['lower(btrim("mail"))'],
        ['lower("name")', '"born"'],
    ]
    other = load_project(write(tmp_path, changed((ENTITY, "lower(trim(mail))", "mail"))))
    (changed_plan,) = composites(other, "hub").values()
    assert changed_plan.rules != plan.rules


MAIL = "- [lower(trim(mail))]"
AT_MARIADB = (
    MAIN,
    '{type: postgres, url: "postgresql://t:p@hub.example/hub"}',
    '{type: mariadb, url: "mysql://t:p@hub.example/"}',
)
BAD = {
    "an unknown key": (
        [(ENTITY, "  match:", "  matches:")],
        f"{ENTITY}:11",
        "this key is not known",
    ),
    "no rule": (
        [(ENTITY, FILES[ENTITY][FILES[ENTITY].index("  match:") :], "  match: []\n")],
        f"{ENTITY}:11",
        "identity.match",
    ),
    "no such field": ([(ENTITY, MAIL, "- [lower(mial)]")], f"{ENTITY}:13", "mial"),
    "a function that is not known": (
        [(ENTITY, MAIL, "- [soundex(mail)]")],
        f"{ENTITY}:13",
        "soundex() is not on the list of functions",
    ),
    "a function that is not for rules": (
        [(ENTITY, MAIL, "- [md5(mail)]")],
        f"{ENTITY}:13",
        "a rule of identity takes fields, texts, || and a few functions only",
    ),
    "a condition": ([(ENTITY, MAIL, "- [\"mail = 'x'\"]")], f"{ENTITY}:13", "it gives no text"),
    "a constant": ([(ENTITY, MAIL, "- [\"'x'\"]")], f"{ENTITY}:13", "it reads no field"),
    "the key": ([(ENTITY, MAIL, "- [id]")], f"{ENTITY}:13", "id is the key"),
    "a date that is changed": (
        [(ENTITY, MAIL, "- [born::text]")],
        f"{ENTITY}:13",
        "born is no text, and only texts are changed",
    ),
    "a number": (
        [(ENTITY, "born: {type: date}", "born: {type: double}")],
        f"{ENTITY}:12",
        "records are not recognised by a field of type double",
    ),
    "a key of two": (
        [
            (ENTITY, "key: [id]", "key: [id, born]"),
            (ERP, '"id"}', '"id", born: geb}'),
            (SHOP, 'uid"}', 'uid", born: born}'),
        ],
        f"{ENTITY}:2",
        "the key is what identity gives, one text",
    ),
    "demands of the key": (
        [(ENTITY, "id: {type: text, required: true}", "id: {type: text, length: {max: 9}}")],
        f"{ENTITY}:4",
        "identity gives id, so a contract cannot demand anything of it",
    ),
    "a check of the key": (
        [(ENTITY, "identity:", 'checks: {some: "id <> name"}\nidentity:')],
        f"{ENTITY}:10",
        "identity gives id only after checks are judged",
    ),
    "what one source delivers": (
        [(SHOP, "tax: tax, ", "")],
        f"{ENTITY}:12",
        "erp alone delivers all that it reads to hub, and it takes two",
    ),
    "one source": (
        [
            (MAIN, "  from_shop: {source: shop, target: hub, mappings: [shop_customer]}\n", ""),
            (ENTITY, "[erp, shop]", "erp"),
        ],
        f"{ENTITY}:10",
        "one source alone feeds it at hub",
    ),
    "what MariaDB has no words for": (
        [AT_MARIADB, (ENTITY, MAIL, "- [\"translate(mail, 'ab', 'ba')\"]")],
        f"{ENTITY}:13",
        "MariaDB and MySQL have no translate that exchanges characters",
    ),
    "a masked field": (
        [
            (MAIN, 'hub.example/hub"}', 'hub.example/hub", protect: {personal: mask}}'),
            (ENTITY, "mail: {type: text}", "mail: {type: text, class: personal}"),
        ],
        f"{ENTITY}:13",
        "hub would mask mail (personal), so nothing is left to recognise by",
    ),
    "a token that is changed": (
        [
            (MAIN, 'hub.example/hub"}', 'hub.example/hub", protect: {personal: {tokenise: k}}}'),
            (MAIN, "pipelines:", "keys:\n  k: {current: '${TOKEN_A}'}\npipelines:"),
            (ENTITY, "mail: {type: text}", "mail: {type: text, class: personal}"),
        ],
        f"{ENTITY}:13",
        "so it cannot be changed before it is compared",
    ),
    "a token with keys before": (
        [
            (MAIN, 'hub.example/hub"}', 'hub.example/hub", protect: {personal: {tokenise: k}}}'),
            (
                MAIN,
                "pipelines:",
                "keys:\n  k: {current: '${TOKEN_A}', previous: ['${TOKEN_B}']}\npipelines:",
            ),
            (ENTITY, "mail: {type: text}", "mail: {type: text, class: personal}"),
            (ENTITY, "lower(trim(mail))", "mail"),
        ],
        f"{ENTITY}:13",
        "key k has been rotated, so one value has several tokens",
    ),
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN_A", "TOKEN_B"):
        monkeypatch.setenv(name, secrets.token_hex(64))


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    changes, where, what = BAD[case]
    is_refused(tmp_path, changed(*changes), where, what)


def test_a_mariadb_target(tmp_path: Path) -> None:
    (plan,) = composites(load_project(write(tmp_path, changed(AT_MARIADB))), "hub").values()
    assert [rule.at for rule in plan.match] == [0, 1, 2]


def test_tokens_are_compared(tmp_path: Path) -> None:
    files = changed(
        (MAIN, 'hub.example/hub"}', 'hub.example/hub", protect: {personal: {tokenise: k}}}'),
        (MAIN, "pipelines:", "keys:\n  k: {current: '${TOKEN_A}'}\npipelines:"),
        (ENTITY, "mail: {type: text}", "mail: {type: text, class: personal}"),
        (ENTITY, "lower(trim(mail))", "mail"),
    )
    (plan,) = composites(load_project(write(tmp_path, files)), "hub").values()
    assert plan.match[1].values[0].bare


def test_who_gives_the_keys_is_a_breaking_change(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    identity = FILES[ENTITY][FILES[ENTITY].index("identity:") :]
    with_it = load_project(write(tmp_path / "one", FILES)).entities
    without = load_project(write(tmp_path / "two", changed((ENTITY, identity, "")))).entities
    (found,) = compare(without, with_it)
    assert "major" in {change.level for change in found.changes}
