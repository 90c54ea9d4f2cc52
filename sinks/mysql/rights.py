"""What SHOW GRANTS says of our user's rights."""

from __future__ import annotations

import re

from sinks.mysql.names import quoted
from sinks.mysql.session import Connection, query

_ON_A_DATABASE = re.compile(r"GRANT (.+?) ON (\*|`(?:[^`]|``)+`)\.\* TO ")
_TAKEN_BACK = re.compile(r"REVOKE (.+?) ON `((?:[^`]|``)+)`\.\* FROM ")

_SHOWING = frozenset(
    {"ALL PRIVILEGES", "INSERT", "UPDATE", "DELETE", "CREATE", "REFERENCES", "TRIGGER"}
)
"""Rights of which the catalog shows a table's foreign keys; SELECT is none of them."""


class Rights:
    """Of the session's user and the role it has taken."""

    def __init__(self, connection: Connection) -> None:
        ((user, ignores_case),) = query(
            connection, "select current_user(), @@lower_case_table_names"
        )
        self.user = str(user)
        self._ignores_case = bool(int(ignores_case))
        self._grants = [str(row[0]) for row in query(connection, "show grants")]
        # Where MySQL lets rights be taken back in part, the name of a database is no pattern.
        self._exact = ("partial_revokes", "ON") in query(
            connection, "show global variables like 'partial_revokes'"
        )

    @property
    def account(self) -> str:
        """As GRANT writes it."""
        name, _, host = self.user.rpartition("@")
        return f"{quoted(name)}@{quoted(host)}"

    @property
    def shows_foreign_keys(self) -> bool:
        """Whether the catalog shows the foreign keys of every table, whoever's it is."""
        return all(grant.startswith("GRANT ") for grant in self._grants) and any(
            pattern == "*" and rights & _SHOWING for rights, pattern in self._on_databases()
        )

    def may_create(self, schema: str) -> bool:
        name = schema.lower() if self._ignores_case else schema
        return any(
            {"CREATE", "ALL PRIVILEGES"} & rights and self._is_on(pattern, name)
            for rights, pattern in self._on_databases()
        )

    def _is_on(self, pattern: str, schema: str) -> bool:
        if not self._exact:
            return _covers(pattern, schema)
        if pattern == "*":
            return not any(
                "CREATE" in taken[1] and taken[2].replace("``", "`") == schema
                for taken in map(_TAKEN_BACK.match, self._grants)
                if taken is not None
            )
        return pattern[1:-1].replace("``", "`") == schema

    def _on_databases(self) -> list[tuple[set[str], str]]:
        """(rights, pattern of databases or ``*``)."""
        return [
            ({word.strip() for word in found[1].split(",")}, found[2])
            for found in map(_ON_A_DATABASE.match, self._grants)
            if found is not None
        ]


def _covers(pattern: str, schema: str) -> bool:
    """A database in a GRANT is a LIKE pattern."""
    if pattern == "*":
        return True
    text = pattern[1:-1].replace("``", "`")
    parts = re.findall(r"\\(.)|(%)|(_)|(.)", text, re.S)
    regex = "".join(
        ".*" if many else "." if one else re.escape(kept or plain)
        for kept, many, one, plain in parts
    )
    return re.fullmatch(regex, schema, re.S) is not None
