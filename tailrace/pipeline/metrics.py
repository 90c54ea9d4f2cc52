"""What is measured, in base units; `tailrace run` serves it for all its processes together."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CAPTURED_ROWS = Counter(
    "tailrace_captured_rows", "Changes written to the journal", ["source", "table", "operation"]
)
SOURCE_LAG_BYTES = Gauge(
    "tailrace_source_lag_bytes",
    "Log written at the source and not yet durable in our journal",
    ["source"],
    multiprocess_mode="mostrecent",
)
WAL_HELD_BYTES = Gauge(
    "tailrace_source_wal_held_bytes",
    "Log the source keeps because of our slot",
    ["source"],
    multiprocess_mode="mostrecent",
)
JOURNAL_BYTES = Gauge(
    "tailrace_journal_bytes",
    "Size of the journal on disk",
    ["source"],
    multiprocess_mode="mostrecent",
)
ROWS = Counter(
    "tailrace_rows",
    "Changes by what became of them: received, replayed, written, coalesced, filtered,"
    " parked, discarded",
    ["pipeline", "table", "outcome"],
)
PARKED = Gauge(
    "tailrace_exceptions_parked",
    "Changes that wait at the exceptions desk for a person",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
WAITING = Gauge(
    "tailrace_exceptions_waiting",
    "Changes that wait behind a parked one of the same key",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
BATCH_SECONDS = Histogram(
    "tailrace_batch_seconds",
    "From the first read of a batch to its durable commit",
    ["pipeline"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
PIPELINE_LAG_SECONDS = Gauge(
    "tailrace_pipeline_lag_seconds",
    "Age of the newest source commit applied, while newer ones wait; else 0",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
PIPELINE_LAG_ENTRIES = Gauge(
    "tailrace_pipeline_lag_entries",
    "Journal entries not yet applied",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
DISCREPANCIES = Gauge(
    "tailrace_discrepancies",
    "Fields of an entity in which a source says otherwise than the one that counts",
    ["pipeline", "entity"],
    multiprocess_mode="mostrecent",
)
IDENTITY_CONFLICTS = Gauge(
    "tailrace_identity_conflicts",
    "Pairs of records that a rule joins and that wait for a person; of an entity up to 10000",
    ["pipeline", "entity"],
    multiprocess_mode="mostrecent",
)
CHECKPOINT_AGE_SECONDS = Gauge(
    "tailrace_checkpoint_age_seconds",
    "Time since the target's checkpoint last moved, while entries wait; else 0",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
NEWEST = Gauge(
    "tailrace_newest_value_timestamp_seconds",
    "The newest value written of the field by which an entity promises freshness; since 1970",
    ["pipeline", "entity"],
    multiprocess_mode="mostrecent",
)
FRESHNESS_LIMIT = Gauge(
    "tailrace_freshness_limit_seconds",
    "How old the newest value of that field may be",
    ["pipeline", "entity"],
    multiprocess_mode="mostrecent",
)
