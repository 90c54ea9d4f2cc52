"""The two servers of the demo: a legacy ERP and an empty hub, with the rights a DBA would give."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from tailrace.service.localpg import LocalPostgres

ERP_GRANTS = """
create role tailrace_source login replication;
grant usage on schema erp to tailrace_source;
grant select on all tables in schema erp to tailrace_source;
"""
HUB_GRANTS = ("create role tailrace_hub login", "create database hub owner tailrace_hub")
ROWS_MIN = 1000
"""Fewer would leave the clerks of the load nothing to choose from."""


def start(stack: ExitStack, directory: Path, rows: int) -> tuple[LocalPostgres, LocalPostgres]:
    """An ERP with about `rows` rows and a hub, both stopped with `stack`."""
    erp = stack.enter_context(LocalPostgres.start(directory / "erp"))
    hub = stack.enter_context(LocalPostgres.start(directory / "hub"))
    erp.execute("create database erp")
    erp.execute(legacy_sql(rows), "erp")
    erp.execute(ERP_GRANTS, "erp")
    for statement in HUB_GRANTS:
        hub.execute(statement)
    return erp, hub


def legacy_sql(rows: int) -> str:
    """What makes the ERP's schema, rows and publication, run by the owner of the tables."""
    text = resources.files("tailrace.service.demo").joinpath("legacy.sql").read_text("utf-8")
    return text.replace(":rows", str(rows))
