"""What an operator declares of a PostgreSQL target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from cdc.urls import PostgresUrl


class PostgresTarget(BaseModel):
    """A PostgreSQL database that is written. url: for a role that may create and write tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["postgres"]
    url: PostgresUrl
