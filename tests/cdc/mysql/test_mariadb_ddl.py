"""Our reading of DDL, held against what the server makes of the same statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import zip_longest

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql.constants import ER

from cdc.mysql import events as ev
from cdc.mysql.alteration import Shape
from cdc.mysql.catalog import _columns_and_keys, _described, read_collations
from cdc.mysql.ddl import altered, altered_table
from cdc.mysql.queries import Query, query
from cdc.mysql.session import connect
from cdc.mysql.session import query as session_query
from cdc.mysql.sqltext import ANSI_QUOTES, MYSQL
from cdc.schema import TableName
from tailrace.errors import DecodeError
from tests.cdc.mysql.binlogs import split
from tests.maria import Maria, both, version_of

MADE = (
    "create table t{} (id int primary key, a varchar(20), b char(7) character set latin1 not null,"
    " c int unsigned, d decimal(12,2), e enum('x','ö','it''s','back\\\\slash','new\\nline'),"
    " f set('p','q'), g text, h tinytext character set latin1, i blob, j json,"
    " k timestamp(3) null, v int as (c + 1) virtual, w int as (c + 2) stored)"
    " default character set utf8mb4"
)


class Oracle:
    """Tables of a database, which the server and we alter."""

    def __init__(self, maria: Maria) -> None:
        self.maria = maria
        self._url = f"{maria.kind}://root@127.0.0.1:{maria.server.port}/{maria.name}"
        self._mode = MYSQL if maria.kind == "mysql" else 0
        with closing(connect(self._url)) as connection:
            self.collations = read_collations(connection)

    def make(self, tables: int) -> None:
        self.maria.execute(*(MADE.format(n) for n in range(tables)))
        self.maria.log()

    def run(self, statements: Iterable[str]) -> list[str]:
        """In one session; those that the server refused. None may be unknown to its grammar."""
        refused, unknown = [], []
        with closing(connect(self._url)) as connection, connection.cursor() as cursor:
            for statement in statements:
                if statement.startswith("set names"):
                    connection.set_character_set(statement.split()[-1])
                try:
                    cursor.execute(statement)
                except pymysql.Error as error:
                    refused.append(f"{statement}: {error.args[1]}")
                    unknown += [statement] * (error.args[0] == ER.PARSE_ERROR)
        assert self._mode or not unknown
        return refused

    def today(self) -> dict[TableName, Shape]:
        """What the catalog says, also of tables that could not be captured."""
        with closing(connect(self._url)) as connection:
            sql = (
                "select table_name, table_collation from information_schema.tables"
                " where table_schema = %s and table_name like 't%%'"
            )
            found = {
                TableName(self.maria.name, name): self.collations.numbers[collation]
                for name, collation in session_query(connection, sql, self.maria.name)
            }
            columns, keys = _columns_and_keys(connection, list(found))
        numbers = self.collations.numbers
        return {
            name: Shape(_described(name, columns[name], keys[name], numbers), charset)
            for name, charset in found.items()
        }

    def logged(self) -> Iterator[Query]:
        """Statements that the server logged since the last call, with their sessions."""
        for event in split(self.maria.log()):
            if ev.head(event).type == ev.QUERY:
                body = ev.checked(event)[ev.HEAD.size :]
                asked = query(body, charset_of=self.collations.charset_of)
                yield replace(asked, sql_mode=asked.sql_mode | self._mode)

    def ours(self, before: dict[TableName, Shape]) -> dict[TableName, Shape]:
        """What we make of what was logged."""
        found = dict(before)
        for asked in self.logged():
            table = altered_table(asked.statement, asked.database, asked.sql_mode)
            if table is not None:
                found[table] = altered(
                    found[table],
                    asked.statement,
                    self.collations,
                    sql_mode=asked.sql_mode,
                    flags=asked.flags,
                )
        return found

    def check(self, statements: Iterable[str], alters: Sequence[str]) -> list[str]:
        """Run `statements`, of which `alters` alter t0, t1 …; what the server refused."""
        self.make(len(alters))
        before = self.today()
        refused = self.run(statements)
        today, ours = self.today(), self.ours(before)
        wrong = []
        for number, statement in enumerate(alters):
            name = TableName(self.maria.name, f"t{number}")
            if ours[name] != today[name]:
                wrong += [statement, *differences(ours[name], today[name])]
        assert not wrong, "\n".join(wrong)
        return refused


def differences(ours: Shape, theirs: Shape) -> list[str]:
    columns = zip_longest(ours.map.columns, theirs.map.columns)
    return [
        f"  charset {ours.charset} {theirs.charset}; key {ours.map.key} {theirs.map.key}",
        *(f"  ours {one}\n  is   {other}" for one, other in columns if one != other),
    ]


@pytest.fixture
def oracle(maria: Maria) -> Oracle:
    return Oracle(maria)


TYPES = (
    """
tinyint|smallint(3) unsigned|mediumint zerofill|int signed|integer|bigint(20) unsigned zerofill
int1|int2|int3|int4|int8|middleint|bool|boolean|decimal|decimal(0)|dec(7)|numeric(9,3)|fixed(4,4)
float|float(10)|float(24)|float(25)|float(7,3)|float unsigned|double|double(9,2)
double precision|double precision unsigned zerofill|real|real(5,2)|float4|float8|bit|bit(0)|bit(9)
date|time|time(3)|datetime|datetime(6)|timestamp|timestamp(2)|timestamp null|timestamp not null
year|year(4)|year(2)|char|char(9)|char(0)|varchar(300)|varchar(0)|character(4)
character varying(8)|char varying(9)|varcharacter(5)|nchar|nchar(3)|national char(4)
national character(3)|national varchar(5)|national character varying(5)|national char varying(4)
nvarchar(7)|nchar varchar(6)|nchar varying(6)|national varcharacter(4)|binary|binary(4)
binary(16)|varbinary(9)|char(5) byte|char(5) binary|char(5) ascii|char(5) unicode
varchar(5) character set latin1 binary|varchar(5) charset 'latin1'
text charset utf8|text charset utf8mb3
varchar(9) collate latin1_german2_ci|varchar(9) collate utf8_bin|char(3) character set binary
varchar(9) collate uca1400_ai_ci|varchar(9) collate utf8mb4_uca1400_as_cs
varchar(9) char set ucs2|varchar(9) character set utf16 collate utf16_bin
tinytext|text|mediumtext|longtext|text(10)|text(300)|text(70000)|text(0)|text(20000000)|long
long varchar|long char varying|long varbinary|long varcharacter
tinyblob|blob|mediumblob|longblob|blob(10)|blob(300)|blob(70000)|text character set binary
json|json not null|enum('a','b')|enum('a  ','b ')|enum('a','ö') character set latin1|enum('')
enum('it''s', "dou""ble", 'back\\\\slash', 'tab\\t', '100\\%', 'a,b', '(') not null default 'tab\\t'
set('a','b','c','d','e','f','g','h','i')|set('x ') collate latin1_bin|set('ü') binary
enum('a') character set binary|serial|bigint unsigned not null auto_increment unique
int not null default 3 comment 'x, drop column `id`'|int default (1 + (2))|int default -3
varchar(9) default _utf8mb4'x' not null|date default '2024-01-01'|int null|int check (n > 0)
timestamp default current_timestamp on update current_timestamp()|datetime(3) default now(3)
timestamp(6) not null default current_timestamp(6) on update current_timestamp(6) comment 'y'
int not null check (n > 0)|int references t (id)|int invisible
int references t (id) on delete set null on update cascade
int generated always as (id + 1) virtual|int as (id * 2) stored|int as (id) persistent comment 'z'
varchar(10) as (concat(a, ',')) virtual|int unique|int unique key comment 'q'|int with_option=3
geometry|point not null|linestring|polygon|multipoint|multilinestring null|multipolygon comment 'x'
geometrycollection
point ref_system_id=4326|geometry ref_system_id=0 not null
uuid|uuid not null default uuid()|inet4|inet6 not null default '::1'|inet6 null comment 'x'
varchar(9) compressed|varchar(9) compressed=zlib not null|varchar(300) compressed charset latin1
varbinary(9) compressed default ''|text compressed|tinytext compressed|longblob compressed
blob(300) compressed=zlib comment 'x'|text(70000) compressed|varchar(16383) compressed
varbinary(65532) compressed|varchar(20000) compressed|varchar(70000) compressed
varchar(40000)|varbinary(70000)|varchar(70000) character set latin1|varchar(20000)
""".strip()
    .replace("\n", "|")
    .split("|")
)


SINCE_10_6 = ("text collate binary",)


@both
def test_every_type(oracle: Oracle) -> None:
    types = (*TYPES, *(SINCE_10_6 if version_of(oracle.maria.server) >= (10, 6) else ()))
    alters = [f"alter table t{n} add column n {written}" for n, written in enumerate(types)]
    refused = oracle.check(["set sql_mode = ''", *alters], alters)
    assert len(refused) < (60 if oracle.maria.kind == "mysql" else 10), refused


DEFAULTS = (
    """
decimal(9,3) default 1.5|decimal(5,2) not null default '-0.10'|decimal(4) default 7
float default 0|double not null default -17|tinyint(1) default true|bool default false not null
bigint default '12'|char(5) default 'ab  '|varchar(9) default 'it''s' not null
varchar(9) default 5|varchar(5) default ''|varchar(9) character set latin1 default 'ä'
binary(4) default ''|varbinary(9) default 'ab'|enum('x','y') default 'y'
set('p','q','r') default 'p,r' not null|enum('ä','y') not null|set('p','q') not null
date default '2024-02-29'|date not null|datetime default '2024-01-01 10:11:12'
datetime(3) not null default '2024-01-01'|time(2) default '-10:11:12.5'
time not null default '0'|year default 2024|year default '24'|year not null
bit(5) default b'101'|bit(9) not null default 3|bit(12) default x'0a'|datetime(6) not null
timestamp default '2024-01-01'|timestamp null default null|text default 'q'|blob default ('q')
json default '[]'|varchar(40) default uuid()|inet6 default '::'|int default null
varchar(9) default 'a?'|int default - 3|int default (3)|varchar(9) default "q"
""".strip()
    .replace("\n", "|")
    .split("|")
)


@both
def test_every_kind_of_default(oracle: Oracle) -> None:
    """Which a row may leave out."""
    oracle.make(1)
    before = oracle.today()
    adds = [f"alter table t0 add n{n} {written}" for n, written in enumerate(DEFAULTS)]
    refused = oracle.run(["set sql_mode = ''", *adds])
    assert len(refused) < (6 if oracle.maria.kind == "mysql" else 1), refused
    ((ours,), (theirs,)) = (shapes.values() for shapes in (oracle.ours(before), oracle.today()))
    found = set()
    for one, other in zip(ours.map.columns, theirs.map.columns, strict=True):
        # Of a few one of the two does not know it, never something else.
        assert one.default == other.default or () in (one.default, other.default), one.name
        assert replace(one, default=other.default) == other
        found |= {one.default, other.default}
    assert {("1.500",), ("-0.10",), ("it's",), ("ä",), ("00101",), (None,), ("0",)} <= found


ORACLE_TYPES = ("number", "number(8,2)", "varchar2(12)", "raw(5)", "clob", "blob", "date", "float")


def test_every_type_of_oracle_mode(oracle: Oracle) -> None:
    alters = [f"alter table t{n} add n {written}" for n, written in enumerate(ORACLE_TYPES)]
    assert not oracle.check(["set sql_mode = oracle", *alters], alters)


MYSQL_TYPES = ("geomcollection", "point srid 4326", "point not null srid 0 comment 'x'")


@pytest.mark.parametrize("maria", ["mysql"], indirect=True)
def test_every_type_of_mysql_alone(oracle: Oracle) -> None:
    alters = [f"alter table t{n} add n {written}" for n, written in enumerate(MYSQL_TYPES)]
    assert not oracle.check(alters, alters)


ALTERS = (
    """
add x int|add column x int first|add column x int after a|add column (x int, y int, key (x))
add column if not exists a int|add if not exists x int after b
add x int first, add y int first, add z int after x|drop a|drop column a, drop d
drop column if exists zz|drop if exists d restrict|modify a bigint|modify column A text first
modify a varchar(30) not null after c|change a a2 varchar(5) first|change column a b2 int after b
change a b int, change b a int|change d D2 decimal(5,1) after nothing|rename column a to x
rename column a to b, rename column b to a|rename column a to x, add y int after x
change a x int, add y int after x|change a x int after d, add y int after x
modify a int after d, modify d int after a|modify d int first, modify a int first
drop a, add a int|drop a, add column if not exists a int|add a int first, drop a
modify if exists zz int|change if exists zz yy int|change column if exists a yy int
rename column if exists zz to yy|drop primary key|drop primary key, add primary key (c, id)
add primary key (a)|drop primary key, add constraint primary key using btree (a(5) desc, id asc)
drop primary key, add constraint pk primary key (a) comment 'x'|drop index `primary`
drop column id|drop id, add primary key (c)|drop id, add id2 serial primary key
modify id bigint|modify id int null|change id ID2 bigint unsigned auto_increment
drop primary key, modify id int|modify c int primary key|drop primary key, modify c int primary key
add primary key if not exists (c)|add index (a)|add key k (a(3), b), add unique u (c)
add unique index if not exists u (c)|add constraint foreign key (c) references t (id)
add constraint fk foreign key fk (c) references t (id) on delete cascade on update set null
add constraint ck check (c > 0)|add check (c < 5)|add fulltext index ft (g), add fulltext key (h)
drop e, convert to character set latin1|drop e, convert to character set utf8mb3
drop e, drop f, convert to charset 'ucs2'|modify e enum('a'), convert to character set latin2
modify e enum('ö'), default character set latin2|modify e enum('a') character set ucs2
drop e, convert to character set utf8mb4 collate utf8mb4_bin|drop e, convert to character set binary
drop e, convert to character set latin1, add x varchar(5), add y varchar(5) character set utf8mb4
drop e, convert to character set latin1, modify a text comment 'not mysql'
default character set latin1
default charset = latin1, add x varchar(9), modify b char(3)|charset latin1 collate latin1_bin
default character set = utf8mb3 default collate = utf8mb3_bin, add x text|collate = latin1_bin
character set latin1, add x tinytext|collate utf8mb4_unicode_ci, add x varchar(3)
engine = InnoDB|engine InnoDB comment = 'drop a' row_format = dynamic, add x int|force
engine = Aria, add x int|auto_increment = 7|add x int, algorithm = copy, lock = shared
algorithm=instant, add column x int|lock=none, add x int|lock none, add x int
order by a, b desc|alter a set default 'x'|alter column c drop default
alter d set default (1 + 2), add x int|alter a set default 'q', rename column a to a2
alter column a set default _utf8mb4'x', modify c int not null default -5|alter d set default -1.25
modify c int not null default 4, alter column d set default 3|alter c set default 8, add x int first
alter i set default 'x'|alter k set default '2024-01-01 00:00:00'
partition by hash (id) partitions 3| partition by key (id)|disable keys|enable keys
modify e enum('x','ö','it''s','back\\\\slash','new\\nline','more')|modify e enum('z') after f
modify f set('p','q','r') character set latin1|comment 'x', add y int|page_compressed=1
add x int, add index (x), add constraint c2 unique (x), drop index if exists nix
drop e, add x varchar(20) compressed, add y text compressed, add z uuid, add p point
drop e, modify a varchar(20) compressed, convert to character set latin1
drop e, modify g text compressed, convert to character set latin1, add x point first
modify j inet6|modify i geometry|modify i blob compressed|change b b2 uuid|add x uuid primary key
alter column v drop default|modify v bigint as (c + 5) virtual|drop v, drop w|modify w int
add x int comment '/* no */' /* add y int */|add x int -- add y int
add x int # add y int
add /*!50101 x int, add */ y int|add x /*M!100100 bigint */ unsigned|add x /*!99999 bigint */ int
add `select` int, add `a``b` int after `select`|add `key` int, drop column `key`|add `ö` int
drop constraint nix|drop constraint if exists nix|drop key if exists k|drop foreign key if exists fk
rename key k to k2|rename index if exists k to k2|add column period int, add column `system` int
no key|stats_persistent=1 stats_auto_recalc=default
""".strip()
    .replace("\n", "|")
    .split("|")
)


@both
def test_every_part_of_alter_table(oracle: Oracle) -> None:
    """MySQL makes a TINYTEXT of a TEXT that is defined beside CONVERT; that stops capture when its
    length is seen."""
    alters = [
        f"drop index `primary` on t{n}" if wanted == "no key" else f"alter table t{n} {wanted}"
        for n, wanted in enumerate(one for one in ALTERS if oracle.maria.kind not in one)
    ]
    refused = oracle.check(["set sql_mode = ''", *alters], alters)
    assert len(refused) < (60 if oracle.maria.kind == "mysql" else 30), refused


UNCLEAR = (
    """
add x int compressed|add x char(5) compressed|add x blob compressed nonsense|add x uuid(5)
convert to character set latin1|truncate partition p|convert partition p to table x
modify e enum('a') character set ucs2, convert to character set latin1
character set default|convert to character set default|drop e, convert to character set ucs2
add system versioning|add x enum('b', x'61')|add x varchar(5) nonsense|nonsense|add x
add x enum('ж') character set latin1|drop zz|modify zz int|rename to other|add x int after zz
rename column zz to yy|add a int|add primary key (zz)|drop a, drop b, rename column b to a
add x int 'open|add x varchar(5) collate no_such_ci|add x varchar(5) charset nothing
exchange partition p with table x
""".strip()
    .replace("\n", "|")
    .split("|")
)


def test_what_is_unclear_is_refused(oracle: Oracle) -> None:
    oracle.make(1)
    (shape,) = oracle.today().values()
    for wanted in UNCLEAR:
        with suppress(DecodeError):
            altered(shape, f"alter table t0 {wanted}", oracle.collations)
            pytest.fail(wanted)
    for unread in ("alter table", "alter table 5", "drop index on t"):
        with pytest.raises(DecodeError):
            altered_table(unread, "x")


NO_COLUMNS = (
    """
alter database x charset latin1|alter view v as select 1|alter sequence s restart|alter user u
create table t (id int)|create index i on t (a)|drop index i on t|drop table t|analyze table t
alter procedure p comment 'alter table t drop a'|create view v as select 1|select 1|
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)


def test_what_concerns_no_columns() -> None:
    for statement in NO_COLUMNS:
        assert altered_table(statement, "x") is None


@pytest.mark.parametrize(
    ("statement", "mode", "name"),
    [
        ("ALTER ONLINE IGNORE TABLE IF EXISTS `a``b`.`c.d` WAIT 3 ADD x INT", 0, ("a`b", "c.d")),
        ("/*!40000 ALTER TABLE t DISABLE KEYS */", 0, ("x", "t")),
        ("/* no */ alter -- yes\n table t /* alter table u */ add x int;", 0, ("x", "t")),
        ('alter table "q""r" add x int', ANSI_QUOTES, ("x", 'q"r')),
        ("drop index if exists `PRIMARY` on s.t", 0, ("s", "t")),
        ("alter table größe add x int", 0, ("x", "größe")),
    ],
)
def test_the_table_of_a_statement(statement: str, mode: int, name: tuple[str, str]) -> None:
    assert altered_table(statement, "x", mode) == TableName(*name)


SESSIONS = [
    ("set names latin1", "alter table t{} add größe enum('ä','ß')"),
    ("set names utf8mb4", 'alter table t{} add x enum(\'a"b\', "a\'b") default "a\'b"'),
    ("set sql_mode = 'ansi_quotes'", 'alter table t{} add "my ""col" int after "a"'),
    ("set sql_mode = 'no_backslash_escapes'", "alter table t{} add x enum('a\\','b\\n') after a"),
    ("set sql_mode = 'real_as_float'", "alter table t{} add x real"),
    ("set explicit_defaults_for_timestamp = 0", "alter table t{} add x timestamp"),
    ("set explicit_defaults_for_timestamp = 1", "alter table t{} add x timestamp"),
]


def test_the_session_of_a_statement(oracle: Oracle) -> None:
    statements = []
    for n, (session, statement) in enumerate(SESSIONS):
        statements += ["set sql_mode = ''", session, statement.format(n)]
    refused = oracle.check(statements, [statement for _, statement in SESSIONS])
    assert not refused


@both
def test_sequences_of_alters(oracle: Oracle) -> None:
    """Each statement made of the table that the one before it left."""

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        oracle.maria.execute("drop table if exists t0")
        oracle.make(1)
        name = TableName(oracle.maria.name, "t0")
        before = oracle.today()
        names = [column.name for column in before[name].map.columns]
        statements = ["set sql_mode = ''"]
        for _ in range(data.draw(st.integers(1, 6))):
            parts = data.draw(st.lists(_parts(names), min_size=1, max_size=4))
            statements.append(f"alter table t0 {', '.join(parts)}")
        oracle.run(statements)
        ours = oracle.ours(before)[name]
        assert ours == oracle.today()[name], statements

    run()


def _parts(names: list[str]) -> st.SearchStrategy[str]:
    """Part of ALTER TABLE, about these columns or others; the server refuses what cannot be."""
    name = st.sampled_from([*names, *names, "n1", "N1", "n2", "`n 3`", "G"])
    written = st.sampled_from([one for one in TYPES if "json" not in one])
    place = st.one_of(st.just(""), st.just(" first"), name.map(" after {}".format))
    some = st.sampled_from(["", "", "if exists "])
    return st.one_of(
        st.builds("add column {} {}{}".format, name, written, place),
        st.builds("add column if not exists {} {}".format, name, written),
        st.builds("modify column {}{} {}{}".format, some, name, written, place),
        st.builds("change column {}{} {} {}{}".format, some, name, name, written, place),
        st.builds("drop column {}{}".format, some, name),
        st.builds("rename column {} to {}".format, name, name),
        st.builds("drop primary key, add primary key ({})".format, name),
        st.sampled_from(["charset latin1", "charset utf8mb4", "add index (c)", "comment 'x'"]),
    )
