"""What is refused of classes, rules and keys before anything runs, and that no key is shown."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from config.load import load_project
from config.problems import each
from tailrace.errors import ConfigError
from tests.config.projects import changed, write

KEY, OTHER = secrets.token_hex(64), secrets.token_hex(64)
HUB = "url: postgresql://tailrace:pw@hub.example/hub\n"


def project(
    folder: Path, rules: str, keys: str = "", entity: tuple[str, str] | None = None
) -> Path:
    """The good project with a personal name; `rules` of the target, `keys` by name."""
    changes = [
        ("tailrace.yml", HUB, f"{HUB}    protect: {rules}\n" if rules else HUB),
        (
            "entities/customer.yml",
            "name: {type: text, required: true}",
            "name: {type: text, class: personal}",
        ),
    ]
    if entity is not None:
        changes.append(("entities/customer.yml", *entity))
    files = changed(*changes)
    if keys:
        files["tailrace.yml"] += f"keys:\n{keys}"
    return write(folder, files)


def errors(folder: Path, *, resolve_secrets: bool = True) -> list[str]:
    try:
        load_project(folder, resolve_secrets=resolve_secrets)
    except ConfigError as error:
        found = each(error)
        for one in found:
            assert one.where["file"], one
            assert KEY not in str(one)
            assert OTHER not in str(one)
        return [str(one) for one in found]
    return []


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.setenv("OTHER", OTHER)
    monkeypatch.setenv("SHORT", secrets.token_hex(31))
    monkeypatch.setenv("ODD", secrets.token_hex(40))
    monkeypatch.setenv("NO_HEX", "not hexadecimal " * 4)
    monkeypatch.setenv("ZEROS", "00" * 64)
    monkeypatch.delenv("UNSET", raising=False)


T = '  t: {current: "${KEY}"}\n'


@pytest.mark.parametrize(
    ("rules", "keys"),
    [
        ("{personal: pass}", ""),
        ("{personal: mask}", ""),
        ("{personal: drop}", ""),
        ("{personal: {tokenise: t}}", T),
        ("{personal: {hash: t}}", T),
        ("{personal: {hash: t}, secret: {tokenise: u}}", T + '  u: {current: "${OTHER}"}\n'),
        ("{personal: {tokenise: t}}", '  t: {current: "${KEY}", previous: ["${OTHER}"]}\n'),
        ("{personal: {hash: t}}", '  t: {current: "${ODD}"}\n'),
        ("{personal: {tokenise: t}}", '  t: {current: "${KEY:?ask operations}"}\n'),
    ],
)
def test_accepted(tmp_path: Path, rules: str, keys: str) -> None:
    assert errors(project(tmp_path, rules, keys)) == []


@pytest.mark.parametrize(
    ("rules", "keys", "what"),
    [
        ("", "", "target hub has no rule for personal fields, such as name of entity customer"),
        ("{secret: mask}", "", "target hub has no rule for personal fields"),
        ("{personal: encrypt}", "", "write pass, mask, drop"),
        ("{personal: hash}", "", "write pass, mask, drop"),
        ("{personal: {mask: t}}", "", "write pass, mask, drop"),
        ("{private: mask}", "", "this key is not known"),
        ("{personal: {tokenise: t}}", "", "targets.hub.protect.personal: there is no key 't'"),
        ("{personal: {tokenise: t}, secret: {hash: t}}", T, "key t is also used to tokenise"),
        ("{personal: {tokenise: t}}", f"  t: {{current: {KEY}}}\n", "never written in the file"),
        ("{personal: {tokenise: t}}", f'  t: {{current: "${{UNSET:-{KEY}}}"}}\n', "never written"),
        ("{personal: {tokenise: t}}", '  t: {current: "x${KEY}"}\n', "never written"),
        (
            "{personal: {tokenise: t}}",
            '  t: {current: "${KEY}", previous: [ab]}\n',
            "never written",
        ),
        ("{personal: {tokenise: t}}", '  t: {current: "${UNSET}"}\n', "UNSET is not set"),
        ("{personal: {tokenise: t}}", '  t: {current: "${file:/no/key}"}\n', "cannot be read"),
        ("{personal: {tokenise: t}}", '  t: {current: "${SHORT}"}\n', "has 31 bytes; 32 are"),
        ("{personal: {hash: t}}", '  t: {current: "${SHORT}"}\n', "has 31 bytes; 32 are"),
        ("{personal: {tokenise: t}}", '  t: {current: "${ODD}"}\n', "tokens take 32, 48 or 64"),
        ("{personal: {tokenise: t}}", '  t: {current: "${NO_HEX}"}\n', "in hexadecimal"),
        ("{personal: {tokenise: t}}", '  t: {current: "${ZEROS}"}\n', "is not random"),
        (
            "{personal: {tokenise: t}}",
            '  t: {current: "${KEY}", previous: ["${KEY}"]}\n',
            "keys.t.previous.0 is the same key as keys.t.current",
        ),
        (
            "{personal: {hash: t}}",
            '  t: {current: "${KEY}", previous: ["${OTHER}"]}\n',
            "does not say which key made it",
        ),
        ("{personal: '${RULE}'}", "", "only keys and the settings of sources and targets"),
    ],
)
def test_refused(tmp_path: Path, rules: str, keys: str, what: str) -> None:
    found = errors(project(tmp_path, rules, keys))
    assert any(what in text for text in found), found


@pytest.mark.parametrize(
    ("rules", "entity", "what"),
    [
        ("mask", ("{type: text, class: personal}", "{type: text, class: shared}"), "one of the"),
        ("mask", ("{type: text, class: personal}", "{type: text, mask: last5}"), "one of the"),
        ("mask", ("{type: text, class: personal}", "{type: date, mask: last4}"), "of type text"),
        (
            "{hash: t}",
            ("{type: text, class: personal}", "{type: integer, class: personal}"),
            "would hash it (personal), and a hash is text, and the field is integer",
        ),
        ("mask", ("{type: text, required: true}", "{type: text, class: personal}"), "in the key"),
        ("drop", ("{type: text, required: true}", "{type: text, class: personal}"), "in the key"),
        (
            "{tokenise: r}",
            ("{type: text, required: true}", "{type: text, class: personal}"),
            "key r has been rotated: a row would be written a second time",
        ),
        *(
            (rule, ("class: personal}", "class: personal, unique: true}"), what)
            for rule, what in (
                ("mask", "the target could not tell whether it is unique"),
                ("drop", "the target could not tell whether it is unique"),
                ("{tokenise: r}", "one value would pass twice"),
            )
        ),
    ],
)
def test_a_rule_fits_the_fields_of_its_class(
    tmp_path: Path, rules: str, entity: tuple[str, str], what: str
) -> None:
    keys = T + '  r: {current: "${OTHER}", previous: ["${KEY}"]}\n'
    found = errors(project(tmp_path, f"{{personal: {rules}}}", keys, entity))
    assert any(what in text and "entities/customer.yml" in text for text in found), found


def test_the_field_that_marks_deleted_rows_is_neither_masked_nor_dropped(tmp_path: Path) -> None:
    folder = project(
        tmp_path,
        "{personal: mask, internal: mask, public: pass}",
        "",
        ("status: {type: text}", "status: {type: text}\n  gone: {type: boolean}"),
    )
    path = folder / "mappings" / "erp_customer.yml"
    path.write_text(path.read_text().replace("on_delete: delete", "on_delete: {soft: gone}"))
    assert any("on_delete marks deleted rows in it" in text for text in errors(folder))


def test_files_are_checked_without_keys(tmp_path: Path) -> None:
    keys = '  t: {current: "${file:/no/key}", previous: ["${UNSET}"]}\n'
    assert errors(project(tmp_path, "{personal: {tokenise: t}}", keys), resolve_secrets=False) == []


def test_keys_are_in_no_repr_and_no_dump(tmp_path: Path) -> None:
    keys = '  t: {current: "${KEY}", previous: ["${OTHER}"]}\n'
    loaded = load_project(project(tmp_path, "{personal: {tokenise: t}}", keys))
    assert loaded.keys["t"].current == KEY
    for shown in (
        repr(loaded),
        f"{loaded.keys['t']}",
        repr(loaded.keys["t"].model_dump()),
        loaded.keys["t"].model_dump_json(),
    ):
        assert KEY not in shown
        assert OTHER not in shown
