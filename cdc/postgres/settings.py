"""What an operator declares of a PostgreSQL source (`sources:` in tailrace.yml).

Every scalar arrives as the text that was written.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from cdc.patterns import Patterns, some_included
from cdc.sizes import Size
from cdc.urls import PostgresUrl

Identifier = Annotated[str, Field(min_length=1)]
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
IDENTIFIER_BYTES_MAX = 63
"""NAMEDATALEN - 1 of every PostgreSQL that was not compiled specially."""


class PostgresSource(BaseModel):
    """A PostgreSQL database whose log is read.

    url          of the primary, for a role with LOGIN, REPLICATION and SELECT on the tables
    tables       patterns, see `cdc.patterns`
    publication  one that the DBA made (`tailrace check --sql` prints it); left out, Tailrace makes
                 its own, for which its role must own the tables
    slot         name of the replication slot; left out, made of the project's and source's names
    heartbeat_s  how often a mark is written to the log. 10 s keeps the slot within one checkpoint
                 of the present when only other databases of the server are busy
    retain_max   how much log the server may hold for us before readiness turns false (at half)
                 and `on_limit` acts
    decoding_memory  in which the server gathers transactions before it spills them to its disk
                 (logical_decoding_work_mem of our connection). Four times the server's default:
                 a transaction of half a million rows then costs the source no disk writes
    on_limit     hold: go on holding it; drop_slot: save the source's disk, which ends capture
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["postgres"]
    url: PostgresUrl
    tables: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(some_included)]
    publication: Identifier | None = None
    slot: str | None = None
    heartbeat_s: Annotated[float, Field(ge=1, le=3600)] = 10.0
    retain_max: Annotated[Size, Field(ge=64 << 20)] = 20 << 30
    decoding_memory: Annotated[Size, Field(ge=1 << 20, le=8 << 30)] = 256 << 20
    on_limit: Literal["hold", "drop_slot"] = "hold"

    @field_validator("publication")
    @classmethod
    def _check_publication(cls, name: str | None) -> str | None:
        if name is not None and len(name.encode()) > IDENTIFIER_BYTES_MAX:
            raise ValueError(f"an identifier has at most {IDENTIFIER_BYTES_MAX} bytes")
        return name

    @field_validator("slot")
    @classmethod
    def _check_slot(cls, name: str | None) -> str | None:
        if name is not None and not _SLOT.fullmatch(name):
            raise ValueError("a slot's name has 1 to 63 of the characters a-z, 0-9 and _")
        return name

    @property
    def patterns(self) -> Patterns:
        return Patterns.parse(self.tables)
