"""What is changed at PostgreSQL and MySQL while Debezium watches: every type, every operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.debezium.documents import EVENTS, GONE, NESTED, script

BIG = "repeat('0123456789', 1000)"

POSTGRES_SETUP = f"""
create schema shop;
create type shop.mood as enum ('gut', 'schlecht');
create table shop.value (
    id int primary key, i2 smallint, i8 bigint, r real, d double precision,
    n numeric(12,2), n0 numeric(20,0), wide numeric(38,10), free numeric, b boolean, t text,
    c char(5), vc varchar(10), day date, ts timestamp, ts3 timestamp(3), tz timestamptz,
    tm time, tm3 time(3), ttz timetz, iv interval, j jsonb, u uuid, y bytea, ai int[], at text[],
    an numeric(6,2)[], e shop.mood, b1 bit(1), b3 bit(3), address inet,
    big text, bigy bytea, bigj json, bigai int[], bigat text[]);
alter table shop.value alter big set storage external, alter bigy set storage external,
    alter bigj set storage external, alter bigai set storage external,
    alter bigat set storage external;
create table shop.pair (a int, b text, note text, primary key (a, b));
create table shop.whole (id int primary key, t text, n numeric(12,2));
alter table shop.whole replica identity full;
create table shop.keyless (t text);
alter table shop.keyless replica identity full;
create table shop.mark (mark text primary key);
insert into shop.value values (1, -32768, 9223372036854775807, 0.1, 0.1, 1.50, 123, -0.0000000001,
    1.10, true, 'Grüße', 'ab', 'vc', '2024-02-29', '2024-02-29 23:59:59.123456',
    '2024-02-29 23:59:59.123', '2024-02-29 23:59:59.123456+02', '23:59:59.123456', '23:59:59.123',
    '23:59:59+02', '1 year 2 mons 3 days 04:05:06.789', '{{"a": 1.10, "b": [null, "ü"]}}',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', '{{1,NULL,3}}', '{{a,NULL,"b c","d,\\"e"}}',
    '{{1.50,-2.25}}', 'gut', '1', '101', '10.0.0.1', {BIG}, {BIG}::bytea,
    ('["' || {BIG} || '"]')::json, array_fill(7, array[2000]), array_fill('x'::text, array[2000]));
insert into shop.value (id) values (2);
insert into shop.value (id, i8, n, wide, free, d, r, day, ts, tz, tm, t) values (3,
    -9223372036854775808, -9999999999.99, 1234567890123456789012345678.0123456789,
    123456789012345678901234567890.12345, 1e-300, 3.4028235e38, '0001-01-01',
    '1969-12-31 23:59:59.999999', '1900-01-01 00:00:00+00', '24:00', '');
insert into shop.pair values (1, 'x', 'n'), (2, 'y', null);
insert into shop.mark values ('snapshot')
"""

POSTGRES_CHANGES = (
    "update shop.value set t = 'touched' where id = 1",  # the large values are not sent
    "insert into shop.value (id, t) values (4, 'new'); delete from shop.value where id = 2",
    "update shop.pair set a = 9 where a = 1",
    "insert into shop.pair values (5, 'five', 'n');"
    " update shop.pair set note = 'later' where a = 5; delete from shop.pair where a = 2",
    "insert into shop.whole values (1, 'one', 1.00), (2, 'two', 2.00)",
    "update shop.whole set t = 'uno' where id = 1; delete from shop.whole where id = 2",
    "truncate shop.whole",
    "alter table shop.pair add more numeric(6,1) default 1.5;"
    " insert into shop.pair values (6, 'six', null, 2.5)",
)

MYSQL_SETUP = """
create database shop;
create table shop.value (
    id int primary key, i1 tinyint, iu int unsigned, i8 bigint, u8 bigint unsigned,
    flag tinyint(1), f float, d double, n decimal(12,2), wide decimal(65,30), n0 decimal(20,0),
    t text, c char(5), vc varchar(10), bin binary(4), bl blob, day date, dt datetime,
    dt3 datetime(3), dt6 datetime(6), ts timestamp(6) null, tm time, tm6 time(6), y year,
    e enum('a', 'b'), s set('x', 'y'), j json, b1 bit(1), b10 bit(10));
create table shop.pair (a int, b varchar(20), note text, primary key (a, b));
create table shop.keyless (t text);
create table shop.mark (mark varchar(20) primary key);
insert into shop.value values (1, -128, 4294967295, 9223372036854775807, 18446744073709551615,
    1, 0.1, 0.1, 1.50, 12345678901234567890.123456789012345678901234567890, 12345678901234567890,
    'Grüße', 'ab', 'vc', x'00ff', x'00ff10', '2024-02-29', '2024-02-29 23:59:59',
    '2024-02-29 23:59:59.123', '2024-02-29 23:59:59.123456', '2024-02-29 21:59:59.123456',
    '23:59:59', '-838:59:58.999999', 2024, 'b', 'x,y', '{"a": 1.1}', 1, 0b1000000001);
insert into shop.value (id) values (2);
insert into shop.pair values (1, 'x', 'n'), (2, 'y', null);
insert into shop.mark values ('snapshot')
"""

MYSQL_CHANGES = (
    "update shop.value set t = 'touched' where id = 1",
    "insert into shop.value (id, t) values (4, 'new'); delete from shop.value where id = 2",
    "update shop.pair set a = 9 where a = 1",
    "insert into shop.pair values (5, 'five', 'n');"
    " update shop.pair set note = 'later' where a = 5; delete from shop.pair where a = 2",
    "truncate shop.pair",
    "alter table shop.pair add more decimal(6,1) default 1.5;"
    " insert into shop.pair values (6, 'six', null, 2.5)",
)
KEYLESS = "insert into shop.keyless values ('no key')"
END = "insert into shop.mark values ('end')"


@dataclass(frozen=True, slots=True)
class Variant:
    """How Debezium is set. `name` is that of the recorded file."""

    name: str
    source: str
    schemas: bool
    decimals: str
    times: str
    more: Mapping[str, str] = field(hash=False)

    @property
    def properties(self) -> dict[str, str]:
        return {
            "decimal.handling.mode": self.decimals,
            "time.precision.mode": self.times,
            "converter.schemas.enable": str(self.schemas).lower(),
            "key.converter.schemas.enable": str(self.schemas).lower(),
            "value.converter.schemas.enable": str(self.schemas).lower(),
            **self.more,
        }


TRANSACTIONS = {"provide.transaction.metadata": "true"}
NO_KEYS = {"table.include.list": "shop.keyless,shop.mark"}
_DONE = {"table.include.list": "shop.value,shop.pair,shop.whole,shop.mark"}
MODES = (
    (True, "precise", "adaptive", TRANSACTIONS),
    (True, "string", "isostring", {}),
    (True, "double", "connect", {}),
    (True, "precise", "adaptive_time_microseconds", {}),
    (True, "precise", "microseconds", {}),
    (True, "precise", "nanoseconds", {}),
    (False, "precise", "adaptive", TRANSACTIONS),
    (False, "string", "isostring", {}),
    (False, "double", "connect", {}),
    (False, "precise", "adaptive_time_microseconds", {}),
    (False, "precise", "microseconds", {}),
    (False, "precise", "nanoseconds", {}),
)
_ALL = [
    Variant(
        f"{source}-{'schemas' if schemas else 'plain'}-{decimals}-{times}",
        source,
        schemas,
        decimals,
        times,
        {**_DONE, **more},
    )
    for source in ("postgres", "mysql")
    for schemas, decimals, times, more in MODES
    if not (source == "mysql" and times == "adaptive")  # not known there any more
]
VARIANTS = (*_ALL, Variant("postgres-keyless", "postgres", True, "precise", "adaptive", NO_KEYS))


def _documents(name: str, mode: str, schemas: bool = True, **more: str) -> Variant:
    modes = {"capture.mode": mode, **more}
    return Variant(f"documents-{name}", "mongodb", schemas, "precise", "adaptive", modes)


DOCUMENTS = {
    _documents("full", "change_streams_update_full"): script(EVENTS, NESTED, GONE),
    _documents("bare", "change_streams_update_full", schemas=False): script(EVENTS, NESTED, GONE),
    _documents("changed", "change_streams"): script(EVENTS),
    _documents("nested", "change_streams"): script(NESTED),
    _documents("images", "change_streams_with_pre_image"): script(EVENTS),
    _documents("named", "change_streams_update_full", **TRANSACTIONS): script(EVENTS),
}
"""Of MongoDB, with what is there and what happens."""
