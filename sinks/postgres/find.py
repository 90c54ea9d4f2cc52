"""Which keys are there, and which identities records have."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.composite_sql import IDENTITY
from sinks.postgres.names import quoted, quoted_table
from sinks.postgres.session import Connection
from transforms.references import Reference


def find(connection: Connection, reference: Reference, keys: Sequence[str]) -> dict[str, str]:
    """As `sinks.protocol.FindsKeys.find`. Errors: the server's."""
    if reference.source:
        rows = connection.execute(
            f"select source_key, canonical_id from {quoted_table(IDENTITY)}"
            " where entity = %s and source = %s and source_key = any(%s)".encode(),
            (reference.entity, reference.source, list(keys)),
        )
    else:
        column = quoted(reference.column)
        rows = connection.execute(
            f"select k, k from unnest(%s::text[]) k where exists (select from"
            f" {quoted_table(reference.table)} t where t.{column} = k::{reference.type})".encode(),
            (list(keys),),
        )
    return {str(key): str(found) for key, found in rows}
