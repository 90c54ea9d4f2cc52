"""Contracts as the Open Data Contract Standard v3.1 has them (bitol-io.github.io)."""

API_VERSION = "v3.1.0"
CHECK_HEAD, CHECK_TAIL = "SELECT COUNT(*) FROM {object} WHERE NOT (", ")"
"""How a check is written as a query: `{object}` is the standard's name for the table."""
CONSUMERS, MASK = "tailraceConsumers", "tailraceMask"
"""What the standard has no place for, as custom properties."""
