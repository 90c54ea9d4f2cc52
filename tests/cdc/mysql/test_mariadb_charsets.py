"""Every character of the character sets of one and two bytes, as the server prints it and as we
do."""

from __future__ import annotations

from contextlib import closing

from cdc.mysql import charsets
from cdc.mysql.settings import BinlogSource
from cdc.mysql.source import BinlogDatabase
from tests.cdc.mysql.test_mariadb_source import State, snapshot, until
from tests.maria import Maria, both

SETS = [*charsets.SINGLE_BYTE, *(name for name in charsets.MULTI_BYTE if name not in charsets.WIDE)]
"""In the wide ones a character is its code."""


def defined(name: str) -> str:
    """SQL for `n` as bytes of a character set, where they are one of its characters."""
    raw = "if(n < 256, unhex(lpad(hex(n), 2, '0')), unhex(hex(n)))"
    text = f"convert({raw} using {name})"
    printed = f"convert({text} using utf8mb4) collate utf8mb4_bin"
    known = f"{printed} not regexp '[?\ufffd]' or n = ascii('?')"
    return f"if(({known}) and cast({text} as binary) = {raw}, {text}, null)"


@both
def test_every_character_is_copied_and_logged_alike(maria: Maria) -> None:
    known = {name for (name, *_) in maria.execute("show character set")}
    names = [name for name in SETS if name in known]
    assert len(names) >= 22
    columns = ", ".join(f"{name} varchar(4) character set {name}" for name in names)
    leads = "n < 256 or (n between 0x8140 and 0xfefe and n % 256 >= 0x40)"
    maria.execute(
        "set sql_mode = ''",  # else what is no character is an error
        f"create table t (id int primary key, {columns})",
        f"insert into t select n, {', '.join(map(defined, names))}"
        f" from {maria.numbers(0, 0xFEFE)} where {leads}",
    )
    settings = BinlogSource(type=maria.kind, url=maria.server.url(), tables=(f"{maria.name}.*",))
    copied: State = {}
    logged: State = {}
    with closing(BinlogDatabase(settings, "erp")) as source:
        position, _ = snapshot(source, copied)
        assert len(copied) > 20_000
        with closing(source.stream(position)) as stream:
            maria.execute(
                "create temporary table other select * from t",
                "truncate table t",
                "insert into t select * from other",
            )
            until(stream, lambda: len(logged) == len(copied), logged)
    different = {
        name: [key for key in copied if copied[key][i] != logged[key][i]]
        for i, name in enumerate(["id", *names])
    }
    assert {name: keys[:9] for name, keys in different.items() if keys} == {}
    counted = {
        name: sum(row[i] is not None for row in copied.values()) for i, name in enumerate(names, 1)
    }
    assert min(counted.values()) > 150
    assert counted["sjis"] > 6000
