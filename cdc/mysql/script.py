"""What a DBA runs at a MariaDB source: as comments, since the script around it is for psql."""

from __future__ import annotations

from cdc.mysql.preflight import WANTED
from cdc.mysql.settings import MariadbSource, arguments
from cdc.mysql.snapshot import quoted


def source_script(title: str, source: MariadbSource) -> str:
    given = arguments(source.url)
    user = f"'{given['user']}'@'%'"
    databases = sorted({pattern.schema or "*" for pattern in source.patterns.included})
    lines = [
        f"-- {title}: a MariaDB server, so run this part there, with the mariadb client:",
        "--",
        "-- in the server's configuration, under [mariadbd] (then restart it):",
        "--     log_bin = binlog",
        *(f"--     {name} = {value}" for name, (value, _) in WANTED.items()),
        "--",
        f"-- CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '…';",
        f"-- GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {user};",
        *(
            f"-- GRANT SELECT ON {quoted(name) if name != '*' else '*'}.* TO {user};"
            for name in databases
        ),
        f"-- the way back: DROP USER {user};",
    ]
    return "\n".join(lines) + "\n"
