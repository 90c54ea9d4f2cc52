"""What a journal remembers of a MariaDB source."""

from __future__ import annotations

TABLES = "mariadb.tables"
"""The tables captured since the first snapshot: JSON, [[schema, name], …]."""
