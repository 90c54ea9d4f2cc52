"""What an operator declares of a PostgreSQL target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import Literal

from cdc.urls import PostgresUrl
from sinks.settings import TargetSettings


class PostgresTarget(TargetSettings):
    """A PostgreSQL database that is written. url: for a role that may create and write tables."""

    type: Literal["postgres"]
    url: PostgresUrl
