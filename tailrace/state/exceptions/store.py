"""Exceptions of one pipeline on disk: delivery writes them, commands read and ask.

Delivery makes everything durable here *before* the target commits. So the file may know of a
change that the target in the end did not park: the target's receipts decide, at each opening.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from cdc.schema import TableSchema
from tailrace.sqlite import transaction
from tailrace.state.exceptions.database import open_database, storage_errors
from tailrace.state.exceptions.model import (
    Cause,
    ExceptionId,
    Held,
    Outcome,
    Ref,
    Request,
)

OURSELVES = "tailrace"
"""Who acts where nobody asked."""
_OPEN = "state IN ('parked', 'waiting')"


class Store:
    """`journal`: whose offsets the ids are. Errors: ExceptionsUnavailable, ExceptionsError."""

    def __init__(self, path: Path, journal: str) -> None:
        self.path = path
        self._journal = journal
        self._connection = open_database(path)
        self._known_schemas: set[str] = set()

    def close(self) -> None:
        self._connection.close()

    # What delivery writes

    def save(self, held: Sequence[Held], schemas: Mapping[str, TableSchema]) -> None:
        """Make changes durable, in place of what was known of them. A person's edit stays."""
        if not held:
            return
        now = _now_us()
        new = {v: schema for v, schema in schemas.items() if v not in self._known_schemas}
        with storage_errors(self.path), transaction(self._connection):
            for version, schema in new.items():
                self._connection.execute(
                    "INSERT OR IGNORE INTO schemas VALUES (?, ?)", (version, schema.to_json())
                )
            self._connection.executemany(
                f"INSERT INTO held VALUES ({', '.join('?' * 20)})"
                " ON CONFLICT (journal, entry, seq) DO UPDATE SET state = excluded.state,"
                " keys = excluded.keys, row = excluded.row, targets = excluded.targets,"
                " cause = excluded.cause, cause_key = excluded.cause_key,"
                " mapping_version = excluded.mapping_version, attempts = excluded.attempts,"
                " tried_us = excluded.tried_us",
                [self._values(one, now) for one in held],
            )
            for one in held:
                if one.cause is not None:
                    self._note(one.id, OURSELVES, "parked", str(one.cause))
        self._known_schemas.update(new)

    def _values(self, held: Held, now: int) -> tuple[object, ...]:
        ref, cause = held.ref, held.cause
        return (
            *self._place(ref.id),
            ref.state,
            ref.table,
            json.dumps(ref.keys),
            json.dumps(ref.targets),
            held.operation,
            held.schema,
            held.row,
            held.edited,
            held.position,
            held.ordinal,
            held.committed_us,
            None if cause is None else json.dumps(asdict(cause)),
            None if cause is None else str(cause),
            held.mapping_version,
            held.attempts,
            now,
            now,
        )

    def settle(
        self,
        done: Mapping[ExceptionId, Outcome],
        failed: Mapping[ExceptionId, Outcome],
    ) -> None:
        """After the target has committed: what became of changes and of requests.

        `failed`: replays that were parked again. Values of what is done go. Should this not be
        reached, `reconcile` does it.
        """
        with storage_errors(self.path), transaction(self._connection):
            for id, outcome in done.items():
                self._close(id, outcome)
            for id, outcome in failed.items():
                self._note(id, outcome.who, "replay failed", outcome.reason)
            self._connection.executemany(
                "DELETE FROM request WHERE journal = ? AND entry = ? AND seq = ?",
                [self._place(id) for id in (*done, *failed)],
            )

    def reconcile(self, receipts: frozenset[str]) -> tuple[list[Ref], frozenset[str]]:
        """(what is held, receipts without contents). Closes all that the target has no receipt of:
        its attempt did not commit, or what was asked for it did."""
        with storage_errors(self.path):
            refs = {str(ref.id): ref for ref in self._open_refs()}
            asked = {str(request.id): request for request in self.requests()}
            gone = [ref for name, ref in refs.items() if name not in receipts]
            stale = [request for name, request in asked.items() if name not in receipts]
            with transaction(self._connection):
                for ref in gone:
                    request = asked.get(str(ref.id))
                    if request is not None:
                        self._close(ref.id, outcome_of(request))
                    else:
                        self._connection.execute(
                            "DELETE FROM held WHERE journal = ? AND entry = ? AND seq = ?",
                            self._place(ref.id),
                        )
                        reason = "the target has no receipt of it: not held (any more)"
                        self._note(ref.id, OURSELVES, "closed", reason)
                self._connection.executemany(
                    "DELETE FROM request WHERE journal = ? AND entry = ? AND seq = ?",
                    [self._place(request.id) for request in stale],
                )
                self._connection.execute(
                    f"DELETE FROM held WHERE {_OPEN} AND journal <> ?", (self._journal,)
                )
        held = [ref for name, ref in refs.items() if name in receipts]
        return sorted(held, key=lambda ref: ref.id), receipts - refs.keys()

    def _close(self, id: ExceptionId, outcome: Outcome) -> None:
        self._connection.execute(
            "UPDATE held SET state = ?, row = NULL, edited = NULL, keys = NULL"
            " WHERE journal = ? AND entry = ? AND seq = ?",
            (outcome.state, *self._place(id)),
        )
        self._note(id, outcome.who, outcome.state, outcome.reason)

    # What delivery reads

    def _open_refs(self) -> list[Ref]:
        rows = self._connection.execute(
            f"SELECT entry, seq, source, keys, targets, state, cause FROM held WHERE {_OPEN}"
            " AND journal = ? ORDER BY entry, seq",
            (self._journal,),
        )
        return [_ref(row) for row in rows]

    def load(self, ids: Iterable[ExceptionId]) -> list[Held]:
        """Open changes with their values, in the given order."""
        with storage_errors(self.path):
            found = [self._load(id) for id in ids]
        return [held for held in found if held is not None]

    def _load(self, id: ExceptionId) -> Held | None:
        row = self._connection.execute(
            "SELECT entry, seq, source, keys, targets, state, operation, schema, row, edited,"
            " position, ordinal, committed_us, cause, mapping_version, attempts FROM held"
            f" WHERE journal = ? AND entry = ? AND seq = ? AND {_OPEN}",
            self._place(id),
        ).fetchone()
        if row is None:
            return None
        ref = _ref((*row[:6], row[13]))
        operation, schema, values, edited, position, ordinal, committed_us, cause, *rest = row[6:]
        why = _cause(cause)
        return Held(
            ref, operation, schema, values, edited, position, ordinal, committed_us, why, *rest
        )

    def schema(self, version: str) -> TableSchema:
        with storage_errors(self.path):
            (text,) = self._connection.execute(
                "SELECT json FROM schemas WHERE version = ?", (version,)
            ).fetchone()
        return TableSchema.from_json(text)

    def requests(self) -> list[Request]:
        with storage_errors(self.path):
            rows = self._connection.execute(
                "SELECT entry, seq, action, who, reason FROM request WHERE journal = ?"
                " ORDER BY entry, seq",
                (self._journal,),
            ).fetchall()
        return [
            Request(ExceptionId(entry, seq), action, who, reason)
            for entry, seq, action, who, reason in rows
        ]

    # What people do

    def ask(self, requests: Sequence[Request]) -> list[Request]:
        """Ask delivery for replays and discards of parked changes; return those it will do.

        Of a change for which something is already asked, that stays.
        """
        with storage_errors(self.path), transaction(self._connection):
            taken = []
            for request in requests:
                added = self._connection.execute(
                    "INSERT OR IGNORE INTO request SELECT journal, entry, seq, ?, ?, ? FROM held"
                    " WHERE journal = ? AND entry = ? AND seq = ? AND state = 'parked'",
                    (request.action, request.who, request.reason, *self._place(request.id)),
                )
                if added.rowcount:
                    taken.append(request)
                    action = f"{request.action} asked"
                    self._note(request.id, request.who, action, request.reason)
        return taken

    def edit(self, id: ExceptionId, row: bytes, who: str, what: str) -> bool:
        """Store another row; False where the change is not parked or something is asked for it."""
        with storage_errors(self.path), transaction(self._connection):
            changed = self._connection.execute(
                "UPDATE held SET edited = ? WHERE journal = ? AND entry = ? AND seq = ?"
                " AND state = 'parked' AND NOT EXISTS (SELECT 1 FROM request r"
                " WHERE (r.journal, r.entry, r.seq) = (held.journal, held.entry, held.seq))",
                (row, *self._place(id)),
            ).rowcount
            if changed:
                self._note(id, who, "edited", what)
        return bool(changed)

    def entries(self) -> list[dict[str, Any]]:
        """What is open, without values, oldest first."""
        return self._listed(f"WHERE h.journal = ? AND h.{_OPEN}", self._journal)

    def entry(self, id: ExceptionId) -> dict[str, Any] | None:
        """One, open or closed, without values."""
        found = self._listed("WHERE h.journal = ? AND h.entry = ? AND h.seq = ?", *self._place(id))
        return found[0] if found else None

    def _listed(self, where: str, *values: object) -> list[dict[str, Any]]:
        with storage_errors(self.path):
            rows = self._connection.execute(
                "SELECT h.entry || '-' || h.seq AS id, h.state, h.source AS 'table', h.targets,"
                " h.operation, h.position, h.ordinal, h.committed_us, h.cause, h.cause_key,"
                " h.mapping_version, h.attempts, h.held_us, h.tried_us, r.action AS asked"
                " FROM held h LEFT JOIN request r"
                " ON (r.journal, r.entry, r.seq) = (h.journal, h.entry, h.seq)"
                f" {where} ORDER BY h.entry, h.seq",
                values,
            )
            names = [column[0] for column in rows.description]
            found = [dict(zip(names, row, strict=True)) for row in rows]
        for one in found:
            one["targets"] = json.loads(one["targets"])
            one["cause"] = None if one["cause"] is None else json.loads(one["cause"])
        return found

    def audit(self, id: ExceptionId) -> list[dict[str, Any]]:
        """Who did what to a change, oldest first."""
        with storage_errors(self.path):
            rows = self._connection.execute(
                "SELECT at_us, who, action, reason FROM audit"
                " WHERE journal = ? AND entry = ? AND seq = ? ORDER BY number",
                self._place(id),
            )
            return [
                dict(zip(("at_us", "who", "action", "reason"), row, strict=True)) for row in rows
            ]

    def _note(self, id: ExceptionId, who: str, action: str, reason: str) -> None:
        self._connection.execute(
            "INSERT INTO audit (at_us, journal, entry, seq, who, action, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_now_us(), *self._place(id), who, action, reason),
        )

    def _place(self, id: ExceptionId) -> tuple[str, int, int]:
        return self._journal, id.offset, id.seq


def outcome_of(request: Request) -> Outcome:
    """What a request comes to when it is done."""
    state = cast(Any, "replayed" if request.action == "replay" else "discarded")
    return Outcome(state, request.who, request.reason)


def _cause(text: str | None) -> Cause | None:
    return None if text is None else Cause(**json.loads(text))


def _ref(row: Sequence[Any]) -> Ref:
    entry, seq, table, keys, targets, state, cause = row
    why = _cause(cause)
    return Ref(
        ExceptionId(entry, seq),
        table,
        tuple(tuple(key) for key in json.loads(keys)),
        tuple(json.loads(targets)),
        state,
        why is not None and why.of_parent,
    )


def _now_us() -> int:
    return int(time.time() * 1e6)
