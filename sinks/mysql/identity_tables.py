"""What an entity with `identity` needs at MariaDB or MySQL beside its side tables.

tailrace.identity            which identity each record of a source has
tailrace.identity_conflict   pairs of records that a rule joins, and that are not one
tailrace.identity_apart      pairs that a person has set apart
tailrace.identity_action     what people did, and why
tailrace.identity_value      of each record and rule a digest of what is compared
"""

from __future__ import annotations

from collections.abc import Iterator

from sinks.identity_people import ACTIONS, APART, CONFLICTS, TABLE
from sinks.mysql.products import Product
from sinks.mysql.session import Connection, execute
from sinks.mysql.types import IDENTIFIED_CHARACTERS_MAX

VALUES = "tailrace.identity_value"

NAME = "varchar(64) {text} not null"
KEY = f"varchar({IDENTIFIED_CHARACTERS_MAX + 1}) {{text}} not null"
"""With room for a mark before it (see `sinks.recognising.MARK`)."""
ID = "varchar(36) {text} not null"
DIGEST = "binary(32) not null"
_SINCE = "timestamp(6) not null default current_timestamp(6)"
_PAIR = (
    f"entity {NAME}, source {NAME}, source_key {KEY}, other_source {NAME}, other_key {KEY},",
    "primary key (entity, source, source_key, other_source, other_key),"
    " key other (entity, other_source, other_key)",
)
_TABLES = {
    TABLE: f"entity {NAME}, source {NAME}, source_key {KEY}, canonical_id {ID}, since {_SINCE},"
    " `by` enum('rule', 'new', 'person') not null, cleared varchar(64) null,"
    " primary key (entity, source, source_key), unique key id (entity, canonical_id, source)",
    CONFLICTS: f"{_PAIR[0]} rule text not null, since {_SINCE}, {_PAIR[1]}",
    APART: f"{_PAIR[0]} since {_SINCE}, {_PAIR[1]}",
    ACTIONS: f"number bigint not null auto_increment primary key, `at` {_SINCE},"
    f" who varchar(200) not null, entity {NAME}, action enum('merge', 'split') not null,"
    f" from_id {ID}, into_id {ID}, records longtext not null, reason longtext not null",
    VALUES: f"entity {NAME}, rule smallint not null, digest {DIGEST}, source {NAME},"
    f" source_key {KEY}, primary key (entity, rule, digest, source, source_key),"
    " key record (entity, source, source_key)",
}


def prepare_identity(connection: Connection) -> None:
    """Errors: pymysql's."""
    for statement in definitions(connection.product):
        execute(connection, statement)


def definitions(product: Product) -> Iterator[str]:
    for table, columns in _TABLES.items():
        yield (
            f"create table if not exists {table} ({collated(columns, product)})"
            f" engine = InnoDB default character set utf8mb4 collate {product.collation}"
        )


def collated(columns: str, product: Product) -> str:
    """Also where the database's own collation is another."""
    return columns.replace("{text}", f"character set utf8mb4 collate {product.collation}")
