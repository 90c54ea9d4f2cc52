"""What an operator declares of a PostgreSQL target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class PostgresTarget(BaseModel):
    """A PostgreSQL database that is written. url: for a role that may create and write tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["postgres"]
    url: Annotated[str, Field(min_length=1, repr=False)]
