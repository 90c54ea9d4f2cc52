"""What a DBA runs at a MariaDB or MySQL target: comments, as the script around it is for psql."""

from __future__ import annotations

from cdc.mysql.settings import arguments
from cdc.patterns import OWN_SCHEMA, Patterns
from sinks.mysql.names import quoted
from sinks.mysql.settings import MariadbTarget, MysqlTarget


def target_script(title: str, target: MariadbTarget | MysqlTarget, writes: Patterns) -> str:
    """`writes` are the target tables, as far as the files tell."""
    user = f"'{arguments(target.url)['user']}'@'%'"
    databases = sorted({pattern.schema or "*" for pattern in writes.included})
    lines = [
        f"-- {title}: a {target.product.name} server, so run this part there, with the"
        f" {target.product.client} client:",
        "--",
        f"-- CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '…';",
        f"-- CREATE DATABASE IF NOT EXISTS {OWN_SCHEMA};  -- all that is ours",
        f"-- GRANT ALL ON {OWN_SCHEMA}.* TO {user};",
        *(_granted(name, user) for name in databases),
        f"-- GRANT REFERENCES ON *.* TO {user};  -- shows which tables refer to these",
        f"-- the way back: DROP USER {user}; DROP DATABASE {OWN_SCHEMA};",
    ]
    return "\n".join(lines) + "\n"


def _granted(name: str, user: str) -> str:
    where = "*" if name == "*" else quoted(name)
    return f"-- GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON {where}.* TO {user};"
