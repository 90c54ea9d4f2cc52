"""The two servers of the demo: a legacy ERP and an empty hub, with the rights a DBA would give."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from tailrace.service.localpg import LocalPostgres

ERP_GRANTS = """
create role tailrace_source login replication;
grant usage on schema erp to tailrace_source;
grant select on all tables in schema erp to tailrace_source;
"""
HUB_GRANTS = """
create role tailrace_hub login;
create database hub owner tailrace_hub;
"""


def start(directory: Path, rows: int) -> tuple[LocalPostgres, LocalPostgres]:
    """An ERP with about `rows` rows and a hub; the caller stops both."""
    erp = LocalPostgres.start(directory / "erp")
    hub = LocalPostgres.start(directory / "hub")
    erp.execute("create database erp")
    legacy = resources.files("tailrace.service.demo").joinpath("legacy.sql").read_text()
    erp.execute(legacy.replace(":rows", str(rows)), "erp")
    erp.execute(ERP_GRANTS, "erp")
    for statement in HUB_GRANTS.strip().split(";\n"):
        hub.execute(statement)
    return erp, hub
