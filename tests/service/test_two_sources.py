"""Two sources feed one entity, as an operator runs it: an ERP that makes customers and a CRM that
owns their phone numbers, each with processes of its own, into one hub."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tailrace.service.localmaria import LocalMariadb
from tests.config.projects import write
from tests.conftest import Database
from tests.line import Line, kind_of, wait_until
from tests.maria import Maria
from tests.service.test_both_ways import execute

ENTITY = """\
entity: customer
key: [customer_no]
fields:
  customer_no: {type: text, required: true}
  name: {type: text, required: true}
  phone: {type: text}
  credit: {type: "decimal(12,2)"}
system_of_record: {rows: erp, default: erp, phone: crm}
"""
ERP = """\
mapping: erp_customer
entity: customer
table: sales.kunden
key: {customer_no: "'C-' || id"}
fields:
  name: name
  phone: telefon
  credit: kredit
"""
CRM = """\
mapping: crm_customer
entity: customer
table: {schema}.contact
key: {{customer_no: "'C-' || id"}}
fields:
  name: full_name
  phone: phone
"""


class TwoSources(Line):
    """Sources `erp` and `crm`, target `hub`, pipelines `from_erp` and `from_crm`."""

    def __init__(self, directory: Path, erp: str, crm: str, hub: str, schema: str) -> None:
        """`schema`: of the CRM."""
        super().__init__(directory, erp, hub)
        self.crm = crm
        self.contacts = f"{schema}.contact"
        sources = "".join(
            f'  {name}: {{type: {kind_of(url)}, url: "{url}", tables: ["{tables}.*"]}}\n'
            for name, url, tables in (("erp", erp, "sales"), ("crm", crm, schema))
        )
        (directory / "tailrace.yml").write_text(
            f"version: 1\nproject: own{os.getpid()}\nsources:\n{sources}targets:\n"
            f'  hub: {{type: {kind_of(hub)}, url: "{hub}"}}\n'
            "pipelines:\n"
            "  from_erp: {source: erp, target: hub, mappings: [erp_customer]}\n"
            "  from_crm: {source: crm, target: hub, mappings: [crm_customer]}\n"
        )
        files = {
            "entities/customer.yml": ENTITY,
            "mappings/erp_customer.yml": ERP,
            "mappings/crm_customer.yml": CRM.format(schema=schema),
        }
        write(directory, files)
        execute(
            erp,
            "create table sales.kunden (id integer primary key, name varchar(40),"
            " telefon varchar(40), kredit numeric(10,2))",
            "insert into sales.kunden values (1, 'Anna', '11', 5), (2, 'Bert', null, 7)",
        )
        execute(
            crm,
            f"create table {self.contacts}"
            " (id integer primary key, full_name varchar(40), phone varchar(40))",
            f"insert into {self.contacts} values (1, 'ANNA', '11'), (3, 'Carl', '33')",
        )

    def customers(self) -> list[tuple[object, ...]]:
        sql = "select customer_no, name, phone, credit from public.customer order by customer_no"
        try:
            return [tuple(None if v is None else str(v) for v in row) for row in self.asks(sql)]
        except Exception:  # it is not there yet
            return []

    def asks(self, sql: str) -> list[tuple[object, ...]]:
        return execute(self.target, sql)

    def discrepancies(self) -> list[list[object]]:
        done = self.command("discrepancies", "customer", "-o", "json")
        assert done.returncode == 0, done.stderr
        names = ("entity_key", "field", "owner", "source", "owner_value", "value")
        found = json.loads(done.stdout)["hub"]
        assert all(one["position"] and one["owner_position"] and one["since"] for one in found)
        return [[one[name] for name in names] for one in found]

    def becomes(self, *rows: tuple[object, ...]) -> None:
        wait_until(
            lambda: self.customers() == list(rows),
            f"{rows}; is {self.customers()}; {self.log[-1500:]}",
        )


def feeds(line: TwoSources) -> None:
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    with line:
        line.becomes(("C-1", "Anna", "11", "5.00"), ("C-2", "Bert", None, "7.00"))
        wait_until(lambda: _noted(line) == 1, "the first discrepancy")
        assert line.discrepancies() == [["C-1", "name", "erp", "crm", "Anna", "ANNA"]]

        execute(line.crm, f"insert into {line.contacts} values (2, 'Bert', '22')")
        execute(line.crm, f"update {line.contacts} set phone = '12' where id = 1")
        line.becomes(("C-1", "Anna", "12", "5.00"), ("C-2", "Bert", "22", "7.00"))
        assert line.discrepancies() == [
            ["C-1", "name", "erp", "crm", "Anna", "ANNA"],
            ["C-1", "phone", "crm", "erp", "12", "11"],
            ["C-2", "phone", "crm", "erp", "22", None],
        ]
        execute(line.source, "insert into sales.kunden values (3, 'Carl', '33', 1)")
        line.becomes(
            ("C-1", "Anna", "12", "5.00"),
            ("C-2", "Bert", "22", "7.00"),
            ("C-3", "Carl", "33", "1.00"),
        )
        execute(line.crm, f"delete from {line.contacts} where id in (1, 3)")
        execute(line.source, "delete from sales.kunden where id = 2")
        line.becomes(("C-1", "Anna", None, "5.00"), ("C-3", "Carl", None, "1.00"))
        assert line.discrepancies() == []
        wait_until(lambda: _counted(line) == 0, "status to say so")
        os.kill(line.report("deliver", "from_erp")["pid"], signal.SIGKILL)
        execute(line.source, "update sales.kunden set name = 'Karl' where id = 3")
        line.becomes(("C-1", "Anna", None, "5.00"), ("C-3", "Karl", None, "1.00"))
        execute(line.source, "update sales.kunden set telefon = '9' where id = 1")
        execute(line.crm, f"insert into {line.contacts} values (1, 'Anna', '8')")
        wait_until(lambda: _counted(line) == 1, "status to count it")
        before = line.report("deliver", "from_crm")["pid"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: _restarted(line, before), "a new process that has nothing to do")
        assert _counted(line) == 1
        assert 'tailrace_discrepancies{entity="customer"' in line.get("/metrics")[1]
        text = line.command("discrepancies").stdout
        assert 'hub: customer C-1 phone: crm has "8" (at ' in text
        assert line.command("discrepancies", "custmer").returncode == 2


def _noted(line: TwoSources) -> int:
    return len(line.asks("select 1 from tailrace.discrepancy"))


def _restarted(line: TwoSources, pid: int) -> bool:
    report = line.report("deliver", "from_crm")
    return report["pid"] != pid and report["state"] == "waiting" and "rows" in report["facts"]


def _counted(line: TwoSources) -> int:
    """What the pipelines say, or -1 where they do not say one thing."""
    reports = [line.report("deliver", name) for name in ("from_erp", "from_crm")]
    found = {one["facts"].get("discrepancies", {}).get("customer") for one in reports}
    return -1 if len(found) > 1 else int(found.pop() or 0)


def test_two_postgres_into_postgres(
    tmp_path: Path,
    database18: Database,
    second_database18: Database,
    third_database18: Database,
) -> None:
    erp, crm, hub = database18, second_database18, third_database18
    for database in (erp, crm):
        database.execute("create schema sales")
    feeds(TwoSources(tmp_path, erp.url, crm.url, hub.url, "sales"))


def test_postgres_and_mariadb_into_mariadb(
    tmp_path: Path, database18: Database, maria: Maria, second_maria: LocalMariadb
) -> None:
    database18.execute("create schema sales")
    url = maria.server.url()
    feeds(TwoSources(tmp_path, database18.url, url, second_maria.url(), maria.name))
