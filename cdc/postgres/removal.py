"""Taking back what is ours at a source, and the proof that nothing of it is left."""

from __future__ import annotations

from cdc.postgres.publication import read_publication
from cdc.postgres.session import Connection, literal, quoted, translated
from cdc.postgres.slot import drop_slot
from cdc.removal import Removal


def remove(connection: Connection, slot: str, publication: str, *, is_ours: bool) -> Removal:
    """Drop the slot, ending the connection that uses it, and the publication where `is_ours`.

    A publication that another role made (the DBA, by our script) stays, with the statement for
    them to run. Errors: SourceUnavailable, PreflightError.
    """
    dropped = [f"slot {slot}"] if drop_slot(connection, slot) else []
    kept = []
    ours = is_ours
    found = read_publication(connection, publication)
    if found is not None and is_ours and found.owned:
        with translated("dropping the publication", publication=publication):
            connection.execute(f"DROP PUBLICATION {quoted(publication)}".encode())
        dropped.append(f"publication {publication}")
    elif found is not None:
        ours = False
        kept.append(
            f"publication {publication}, made by {found.owner}:"
            f" DROP PUBLICATION {quoted(publication)};"
        )
    proof = _proof(slot, publication if ours else None)
    with translated("proving the removal"):
        left = connection.execute(proof.encode()).fetchall()
    return Removal(
        tuple(dropped), tuple(kept), proof, tuple(f"{kind} {name}" for kind, name in left)
    )


def _proof(slot: str, publication: str | None) -> str:
    parts = [
        "SELECT 'slot', slot_name::text FROM pg_replication_slots"
        f" WHERE slot_name = {literal(slot)}",
    ]
    if publication is not None:
        parts.append(
            "SELECT 'publication', pubname::text FROM pg_publication"
            f" WHERE pubname = {literal(publication)}"
        )
    return "\nUNION ALL ".join(parts) + ";"
