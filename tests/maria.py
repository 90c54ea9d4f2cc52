"""One MariaDB for the session, and a fresh database of it for each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from cdc.changes import ChangeSet
from cdc.mysql.alteration import Shape
from cdc.mysql.catalog import read_charsets, read_tables
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.collations import Collations
from cdc.mysql.history import History
from cdc.mysql.positions import MysqlPosition
from cdc.mysql.tablemap import TableMap
from cdc.mysql.withheld import leaves_out
from cdc.patterns import Patterns
from cdc.schema import TableName
from tailrace.service.localmaria import LocalMariadb, binary
from tests.cdc.mysql.binlogs import charsets, decoded, newest
from tests.localmysql import SHARED, MysqlElsewhere
from tests.long import long

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
HASTY = {"innodb_flush_log_at_trx_commit": "2"}
"""What is committed survives the server's own end, and no test takes the power from it."""
_numbers = itertools.count(1)


def _started(directory: Path) -> LocalMariadb:
    return LocalMariadb.start(directory / "maria", settings=HASTY)


@pytest.fixture(scope="session")
def maria_server() -> Iterator[LocalMariadb]:
    if binary() is None:
        pytest.skip("MariaDB is not installed (apt install mariadb-server)")
    from tests.conftest import open_directory

    with open_directory() as directory, _started(directory) as server:
        SHARED.append(server)
        yield server
        SHARED.remove(server)


@pytest.fixture
def second_maria() -> Iterator[LocalMariadb]:
    """Another server."""
    if binary() is None:
        pytest.skip("MariaDB is not installed (apt install mariadb-server)")
    from tests.conftest import open_directory

    with open_directory() as directory, _started(directory) as server:
        yield server


def mark(item: pytest.Item) -> None:
    """Mark what runs on a MariaDB, and on no MySQL."""
    asks = any("maria" in name for name in getattr(item, "fixturenames", ()))
    parameters = item.name.partition("[")[2]
    if (asks or "test_mariadb" in item.nodeid or "mariadb:" in parameters) and (
        "mysql" not in parameters
    ):
        item.add_marker("mariadb")


_OF_NO_TEST = "'information_schema', 'mysql', 'performance_schema', 'sys'"
_OF_MODULES = "'edges_of_expressions', 'fit'"


@pytest.fixture(autouse=True)
def _shared_servers_are_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves there, another would meet, in an order that nobody sees again."""
    yield
    if not {"maria_server", "mysql"} & set(request.fixturenames):
        return
    for server in SHARED:
        left = [
            name
            for (name,) in server.execute(
                "select schema_name from information_schema.schemata where schema_name not in"
                f" ({_OF_NO_TEST}, {_OF_MODULES})"
            )
        ]
        if left:
            server.execute(*(f"drop database `{name}`" for name in left))


def version_of(server: LocalMariadb) -> tuple[int, ...]:
    """Of a server's version the first two numbers."""
    ((version,),) = server.execute("select version()")
    return tuple(map(int, version.split(".")[:2]))


def needs(server: LocalMariadb, first: tuple[int, int], what: str) -> None:
    """Skip the test where a MariaDB is older than the first that has it."""
    if server.product == "MariaDB" and version_of(server) < first:
        pytest.skip(f"MariaDB has {what} from {first[0]}.{first[1]} on")


both = pytest.mark.parametrize("maria", ["mariadb", "mysql"], indirect=True)
"""Runs a test of a database `maria` at a MySQL, too."""
both_in_length = pytest.mark.parametrize("maria", ["mariadb", long("mysql")], indirect=True)
"""The same, at a MySQL in `make test-long`."""


@dataclass(frozen=True)
class Maria:
    """A fresh database. `kind`: of which product."""

    server: LocalMariadb
    name: str
    kind: Literal["mariadb", "mysql"] = "mariadb"

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        return self.server.execute(*statements, database=self.name)

    @property
    def version(self) -> str:
        ((version,),) = self.execute("select version()")
        return str(version)

    def numbers(self, first: int, last: int) -> str:
        """A subquery of a column `n`."""
        if self.kind == "mariadb":
            return f"(select seq as n from seq_{first}_to_{last}) as numbers"
        return (
            f"(with recursive up (n) as (select {first} union all select n + 1 from up"
            f" where n < {last}) select n from up) as numbers"
        )

    def log(self) -> bytes:
        return newest(self.server)

    def changes(self, **more: Any) -> list[ChangeSet]:
        """What was logged since the last call."""
        position = MysqlPosition() if self.kind == "mysql" else None
        if leaves_out(self.version):
            more = {"shape_of": self.shapes().get, "left_out": True, **more}
        return decoded(self.log(), charsets(self.server), self.name, position=position, **more)

    def shapes(self) -> dict[TableName, TableMap]:
        """The tables as they are now."""
        with closing(self.server.connect()) as connection:
            patterns = Patterns.parse([f"{self.name}.*"])
            tables, _ = read_tables(connection, patterns, read_charsets(connection))
        return {table.name: table.map for table in tables}

    def chronicle(self) -> Chronicle:
        """One that begins with the tables as they are now."""
        shapes = (Shape(shape, 0) for shape in self.shapes().values())
        return Chronicle(History.begun(shapes, ""), Collations({}, charsets(self.server), {}))

    @contextmanager
    def reader(self, password: str = "") -> Iterator[str]:
        """A user with the rights that a source needs, and no other."""
        user = f"reader_{self.name}"
        monitor, select = "binlog monitor", "select"
        if self.kind == "mysql":
            monitor, select = "replication client", "select, lock tables"
        self.execute(
            f"create user {user} identified by '{password}'",
            f"grant replication slave, {monitor} on *.* to {user}",
            f"grant {select} on {self.name}.* to {user}",
        )
        yield user
        self.execute(f"drop user {user}")


def chinook() -> list[str]:
    """The statements of the Chinook database, without those that make and choose a database."""
    path = DATA / "chinook" / "Chinook_MySql.sql"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8-sig"), flags=re.DOTALL)
    parts = (part.strip() for part in re.split(r";\s*$", text, flags=re.MULTILINE))
    return [
        part for part in parts if part and not re.match(r"(?i)(drop|create) database|use ", part)
    ]


@pytest.fixture
def maria(request: pytest.FixtureRequest) -> Iterator[Maria]:
    kind = getattr(request, "param", "mariadb")
    server: LocalMariadb = request.getfixturevalue("mysql" if kind == "mysql" else "maria_server")
    name = f"test_{next(_numbers)}"
    server.execute(f"create database {name}")
    maria = Maria(server, name, kind)
    if not isinstance(server, MysqlElsewhere):  # its files are not at hand
        maria.log()
    yield maria
    server.execute(f"drop database {name}")
