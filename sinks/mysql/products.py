"""The two servers that speak this protocol, and what differs between them as targets.

MySQL is written with what 8.0.22 has, whatever the version is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tailrace.errors import TargetRefused


@dataclass(frozen=True, slots=True)
class Product:
    """
    name       as people write it
    type       of a target, in tailrace.yml
    oldest     the version from which on it is written
    collation  of the tables we make: PostgreSQL tells 'a' from 'A', and 'a' from 'a '
    pins       variables of the session that only this server has (see `sinks.mysql.session`)
    rounds     whether a time just before midnight becomes the next day in a DATE
    json       the type of a column that holds JSON, to the letter
    staging    statements that make a temporary table `{stage}` anew, of `{columns}`
    system     SQL that identifies the server, see `sinks.protocol.Sink.system`
    client     the program with which a DBA runs a script
    """

    name: str
    type: str
    oldest: tuple[int, ...]
    collation: str
    pins: str
    rounds: bool
    json: str
    staging: tuple[str, ...]
    system: str
    client: str


MARIADB = Product(
    name="MariaDB",
    type="mariadb",
    oldest=(10, 5),
    collation="utf8mb4_nopad_bin",
    pins="check_constraint_checks = 1, idle_transaction_timeout = 0,"
    " idle_write_transaction_timeout = 0, tx_isolation = 'READ-COMMITTED'",
    rounds=False,
    json="json",  # a LONGTEXT with a check
    staging=(
        "create or replace temporary table {stage} ({columns}) engine = Aria transactional = 0",
    ),
    system="concat('mariadb/', @@hostname, ':', @@port)",
    client="mariadb",
)
MYSQL = Product(
    name="MySQL",
    type="mysql",
    oldest=(8, 0, 22),
    collation="utf8mb4_0900_bin",
    pins="transaction_isolation = 'READ-COMMITTED'",
    rounds=True,
    json="longtext",  # its JSON turns numbers into doubles, and keeps one of two equal keys
    # A key, since sql_require_primary_key asks for one in temporary tables, too.
    staging=(
        "drop temporary table if exists {stage}",
        "create temporary table {stage} (`tailrace row` bigint unsigned auto_increment"
        " primary key, {columns}) engine = InnoDB",
    ),
    system="concat('mysql/', @@server_uuid)",
    client="mysql",
)


def verified(version: str, declared: Product) -> None:
    """Whether the server of this `version()` is what its target is declared as.

    Errors: TargetRefused.
    """
    found = MARIADB if "mariadb" in version.lower() else MYSQL
    if found is not declared:
        raise TargetRefused(
            f"this server is {found.name} ({version}), and the target is declared as"
            f" {declared.name}",
            fix=f"write `type: {found.type}`, or another address",
        )
    numbers = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if not numbers or tuple(int(part or 0) for part in numbers.groups()) < declared.oldest:
        raise TargetRefused(
            f"this server is {declared.name} {version}; written is {declared.name} from"
            f" {'.'.join(map(str, declared.oldest))} on",
            fix="use a newer server",
        )
