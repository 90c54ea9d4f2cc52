"""What a MySQL source has of its own: GTID sets across servers, files and bytes, the short lock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pymysql.constants import ER

from cdc.mysql.on_mysql import LOCK_WAIT_S
from cdc.mysql.preflight import inspect
from cdc.mysql.script import source_script
from cdc.mysql.session import connect
from cdc.mysql.settings import BinlogSource, MysqlSource
from cdc.mysql.source import BinlogDatabase
from tailrace.errors import ContinuityError, PreflightError, SourceUnavailable
from tests.conftest import Database
from tests.line import wait_until
from tests.localmysql import LocalMysql, mysql_server
from tests.maria import Maria
from tests.service.test_mariadb import MariaLine, point_at

ITEM = "create table item (id int primary key, name varchar(40), doc json)"
MARK = "create table mark (mark varchar(40) primary key)"


def made(server: LocalMysql, user: str = "reader") -> Maria:
    """A database `shop` and a user who may read its log."""
    server.execute(
        "create database shop",
        f"create user {user}",
        f"grant replication slave, replication client on *.* to {user}",
        f"grant select, lock tables on shop.* to {user}",
    )
    shop = Maria(server, "shop", "mysql")
    shop.execute(MARK, ITEM, f"insert into item (id, name) select n, n from {shop.numbers(1, 500)}")
    return shop


@contextmanager
def own(**settings: str) -> Iterator[Maria]:
    with mysql_server(settings) as server:
        yield made(server)


def test_a_promoted_replica_is_followed(tmp_path: Path, database18: Database) -> None:
    with own() as shop, mysql_server({"server_id": "2"}) as replica:
        replica.execute(
            f"change replication source to source_host = '127.0.0.1', source_user = 'root',"
            f" source_port = {shop.server.port}, source_auto_position = 1,"
            " get_source_public_key = 1",
            "start replica",
        )
        line = MariaLine(tmp_path / "project", shop, "reader", database18.url)
        with line:
            line.drained()
            shop.execute("update item set name = 'before' where id <= 10")
            line.drained()
        shop.execute("update item set name = 'meanwhile' where id between 5 and 100")
        ((executed,),) = shop.execute("select @@global.gtid_executed")
        assert replica.execute(f"select wait_for_executed_gtid_set('{executed}', 60)") == [(0,)]
        replica.execute("stop replica", "reset replica all")
        promoted = Maria(replica, "shop", "mysql")
        promoted.execute("insert into item values (8888, 'promoted', '{\"a\": [1.5]}')")
        point_at(line, promoted)
        with line:
            line.drained()
            assert line.compare() > 500
        assert "snapshot" not in line.log.rpartition('"serving"')[2]
        # The old primary, which others still write, no longer has our history.
        point_at(line, shop)
        with line:
            wait_until(lambda: line.state("capture") == "failed", "capture to refuse it")
            assert "ends before our position" in line.report("capture")["error"]["what"]


def test_without_gtids(tmp_path: Path, database18: Database) -> None:
    """Files and bytes: through a restart of ours, of the server, and a new file; not at another."""
    with own(gtid_mode="OFF", enforce_gtid_consistency="OFF") as shop:
        line = MariaLine(tmp_path / "project", shop, "reader", database18.url)
        with line:
            line.drained()
            shop.execute("update item set name = 'one' where id <= 10", "flush binary logs")
            line.drained()
            wait_until(lambda: line.kill("capture"), "a capture to kill")
            shop.execute("delete from item where id = 7", "begin", "delete from item", "rollback")
            line.drained()
        shop.execute("update item set name = 'two' where id > 490", "flush binary logs")
        shop.execute("insert into item values (1000, 'three', null)")
        with line:
            line.drained()
            assert line.compare() > 500
            # Nothing is captured of these files, and the oldest go.
            shop.execute(*["create database other", "drop database other", "flush binary logs"] * 3)
            line.drained()
        with mysql_server({"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}) as other:
            made(other)
            point_at(line, Maria(other, "shop", "mysql"))
            with line:
                wait_until(lambda: line.state("capture") == "failed", "capture to refuse it")
                assert "another server" in line.report("capture")["error"]["what"]


def test_a_purged_log_is_named_before_it_is_read() -> None:
    with own() as shop:
        settings = MysqlSource(
            type="mysql", url=f"mysql://reader@127.0.0.1:{shop.server.port}/", tables=("shop.*",)
        )
        with closing(BinlogDatabase(settings, "x")) as source:
            with closing(source.snapshot({})) as opened:
                position, facts = opened.position, opened.facts
            shop.execute("insert into item (id) values (1001)", "flush binary logs")
            ((name, *_),) = shop.execute("show binary log status")
            shop.execute(f"purge binary logs to '{name}'")
            with pytest.raises(ContinuityError, match="no longer has all") as raised:
                source.verify(facts, position)
            assert re.fullmatch(r"[-0-9a-f]{36}:\d+", str(raised.value.where["gone"]))


def test_a_snapshot_does_not_hold_writers_up() -> None:
    """It gives its lock up where a transaction stands in its way, and leaves none behind."""
    with own() as shop:
        settings = MysqlSource(
            type="mysql", url=f"mysql://reader@127.0.0.1:{shop.server.port}/", tables=("shop.*",)
        )
        with closing(BinlogDatabase(settings, "x")) as source:
            with closing(shop.server.connect("shop")) as busy, busy.cursor() as cursor:
                cursor.execute("begin")
                cursor.execute("update item set name = 'busy' where id = 1")
                with pytest.raises(SourceUnavailable, match=f"for {LOCK_WAIT_S} s") as raised:
                    source.snapshot({})
                # By our watch, which does not begin anew with each table as the server's does.
                assert raised.value.where["errno"] == ER.QUERY_INTERRUPTED
                cursor.execute("rollback")
            with closing(source.snapshot({})) as opened:
                shop.execute("set session lock_wait_timeout = 5", "update item set name = 'free'")
                names = {
                    name
                    for found, _ in opened.changes()
                    for table in found.tables
                    if table.schema.table.name == "item"
                    for name in table.new[1].to_pylist()
                }
            assert "free" not in names


def test_the_preflight_names_what_is_missing_and_the_script_is_enough() -> None:
    with own(binlog_row_value_options="PARTIAL_JSON", log_bin_trust_function_creators="ON") as shop:
        shop.execute("create user dba@'%' identified by ''")
        settings = MysqlSource(
            type="mysql", url=f"mysql://dba@127.0.0.1:{shop.server.port}/", tables=("shop.*",)
        )
        with closing(connect(settings.url)) as connection:
            findings, _ = inspect(connection, settings)
        named = " ".join(finding.what for finding in findings)
        for right in ("REPLICATION SLAVE", "REPLICATION CLIENT", "LOCK TABLES"):
            assert right in named
        fixes = [finding.fix for finding in findings if finding.where == "binlog_row_value_options"]
        shop.execute(*(fix.partition(";")[0] for fix in fixes))
        assert len(fixes) == 1
        script = source_script("Source erp", settings)
        granted = re.findall(r"^-- ((?:CREATE USER|GRANT)[^;]*);", script, re.MULTILINE)
        shop.execute(*(statement.replace("…", "") for statement in granted))
        with (
            closing(BinlogDatabase(settings, "x")) as source,
            closing(source.snapshot({})) as opened,
        ):
            assert sum(found.rows for found, _ in opened.changes()) == 502
        (undone,) = re.findall(r"the way back: (.*);", script)
        shop.execute(undone)


def test_a_server_of_the_other_kind_is_refused(maria: Maria, mysql: LocalMysql) -> None:
    for url, kind, other in (
        (f"mysql://root@127.0.0.1:{maria.server.port}/", "mysql", "mariadb"),
        (f"mariadb://root@127.0.0.1:{mysql.port}/", "mariadb", "mysql"),
    ):
        settings = BinlogSource(type=kind, url=url, tables=("a.*",))
        with (
            closing(BinlogDatabase(settings, "x")) as source,
            pytest.raises(PreflightError, match="which is no") as raised,
        ):
            source.snapshot({})
        assert f"type: {other}" in (raised.value.fix or "")
