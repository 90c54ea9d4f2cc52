"""What a DBA runs at such a source: as comments, since the script around it is for psql."""

from __future__ import annotations

from cdc.mysql.names import quoted
from cdc.mysql.products import product_of
from cdc.mysql.settings import BinlogSource, arguments


def source_script(title: str, source: BinlogSource) -> str:
    product = product_of(source)
    everywhere = [names[0] for names in product.rights if names[0] != "LOCK TABLES"]
    here = "SELECT, LOCK TABLES" if len(everywhere) < len(product.rights) else "SELECT"
    given = arguments(source.url)
    user = f"'{given['user']}'@'%'"
    databases = sorted({pattern.schema or "*" for pattern in source.patterns.included})
    lines = [
        f"-- {title}: a {product.name} server, so run this part there, with the"
        f" {product.name.lower()} client:",
        "--",
        "-- in the server's configuration, (then restart it):",
        "--     log_bin = binlog",
        *(f"--     {name} = {value}".rstrip() for name, (value, _) in product.wanted.items()),
        "--",
        f"-- CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '…';",
        f"-- GRANT {', '.join(everywhere)} ON *.* TO {user};",
        *(
            f"-- GRANT {here} ON {quoted(name) if name != '*' else '*'}.* TO {user};"
            for name in databases
        ),
        f"-- the way back: DROP USER {user};",
    ]
    return "\n".join(lines) + "\n"
