"""Labels of ENUM and SET in every character set that is read, through snapshot and stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from cdc.mysql import charsets
from tailrace.errors import DecodeError, PreflightError
from tests.cdc.mysql.test_mariadb_source import Reader, State, reader, snapshot, until
from tests.maria import Maria, both

__all__ = ["reader"]

SETS = [*charsets.UTF8, *charsets.SINGLE_BYTE, *charsets.MULTI_BYTE]
CANDIDATES = (
    *(
        "a",
        "Plain text",
        "ä",
        "Größe",
        "é",
        "ñ",
        "ő",
        "Łódź",
        "ğ",
        "ģ",
        "ж",
        "Їжак",
        "Ωμέγα",
        "שלום",
    ),
    *(
        "سلام",
        "€",
        "š",
        "日本",
        "ソース",
        "表示",
        "ｱ",
        "中国",
        "漢字",
        "한글",
        "똠",
        "🐘",
        "\u00a0x",
        "—",
    ),
)
"""Among them some whose second byte is a backslash elsewhere (ソ and 表 in sjis)."""


def labels_of(maria: Maria, charset: str) -> list[str]:
    """The candidates that the character set has."""
    chosen = ", ".join(
        f"convert(convert('{text}' using {charset}) using utf8mb4) collate utf8mb4_bin = '{text}'"
        for text in CANDIDATES
    )
    (found,) = maria.execute(f"select {chosen}")
    return [text for text, known in zip(CANDIDATES, found, strict=True) if known]


KINDS = ("enum", "set")


def listed(labels: list[str]) -> str:
    return ", ".join(f"'{label}'" for label in labels)


@dataclass(frozen=True)
class Labels:
    """By character set."""

    of: dict[str, list[str]]

    def columns(self, prefix: str = "") -> list[str]:
        return [
            f"{prefix}{charset}_{kind} {kind}({listed(labels)}) collate {charset}_bin"
            for charset, labels in self.of.items()
            for kind in KINDS
        ]

    def rows(self) -> list[str]:
        """Of values for each column; all of them use every label."""
        return [
            ", ".join(
                f"'{labels[n % len(labels)]}', '{','.join(labels[: n % len(labels) + 1])}'"
                for labels in self.of.values()
            )
            for n in range(max(map(len, self.of.values())))
        ]

    def shown(self) -> Labels:
        """Those that a catalog shows."""
        return Labels(
            {name: [one for one in of if max(one) < "\U00010000"] for name, of in self.of.items()}
        )


@pytest.fixture(params=["FULL", "less"])
def metadata(request: pytest.FixtureRequest, maria: Maria) -> Iterator[str]:
    less = "NO_LOG" if maria.kind == "mariadb" else "MINIMAL"
    maria.execute(f"set global binlog_row_metadata = {less if request.param == 'less' else 'FULL'}")
    yield request.param
    maria.execute("set global binlog_row_metadata = FULL")


@both
def test_labels_in_every_character_set(reader: Reader, metadata: str) -> None:
    """Some columns are there at the first snapshot, as many are added by a statement."""
    maria = reader.maria
    known = {name for (name, *_) in maria.execute("show character set")}
    later = Labels({name: labels_of(maria, name) for name in sorted(known & set(SETS))})
    assert len(later.of) >= 29
    assert min(map(len, later.of.values())) >= 2
    labels = later if metadata == "FULL" else later.shown()
    maria.execute(
        f"create table t (id int auto_increment primary key, {', '.join(labels.columns())})",
        *(f"insert into t values ({n}, {row})" for n, row in enumerate(labels.rows(), 1)),
    )
    copied: State = {}
    logged: State = {}
    with reader.open() as source:
        position, _ = snapshot(source, copied)
        added = ", ".join(f"add {column}" for column in later.columns("also_"))
        mixed = [
            f"{labels.rows()[n % len(labels.rows())]}, {row}" for n, row in enumerate(later.rows())
        ]
        maria.execute(
            *(f"insert into t values ({n}, {row})" for n, row in enumerate(labels.rows(), 101)),
            f"alter table t {added}",
            *(f"insert into t values ({n}, {row})" for n, row in enumerate(mixed, 201)),
        )
        with closing(source.stream(position)) as stream:
            until(stream, lambda: (str(200 + len(mixed)),) in logged, logged)
    columns = [*labels.columns(), *later.columns("also_")]
    names = [column.partition(" ")[0] for column in columns]
    shown = {(str(row[0]),): row[1:] for row in maria.execute("select * from t")}
    found = copied | logged
    assert found.keys() == shown.keys()
    different = [
        (names[i], key, ours, theirs)
        for key, row in shown.items()
        # What was read before columns were added has none of them.
        for i, (ours, theirs) in enumerate(zip(found[key][1:], row, strict=False))
        if ours != theirs
    ]
    assert different == []
    assert sum(len(row) == len(columns) + 1 for row in found.values()) == len(mixed)


@both
def test_labels_that_no_catalog_shows(reader: Reader, metadata: str) -> None:
    maria = reader.maria
    maria.execute("create table t (id int primary key, e enum('a','🐘') collate utf8mb4_bin)")
    state: State = {}
    with reader.open() as source:
        if metadata == "less":
            with pytest.raises(PreflightError, match="question mark") as raised:
                source.snapshot({})
            assert "binlog_row_metadata = FULL" in str(raised.value.fix)
            maria.execute("set global binlog_row_metadata = FULL")
        position, _ = snapshot(source, state)
        maria.execute("insert into t values (1, '🐘')")
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("1",) in state, state)
            assert state["1",] == ("1", "🐘")
            position = stream.position
            less = "NO_LOG" if maria.kind == "mariadb" else "MINIMAL"
            maria.execute(f"set global binlog_row_metadata = {less}", "insert into t values (2, 2)")
            with pytest.raises(DecodeError, match="question mark"):
                until(stream, lambda: False, state)
