"""The broker of the tests, for benches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.localkafka import kafka_server


@contextmanager
def broker() -> Iterator[str]:
    """Where an Apache Kafka listens. Errors: SystemExit where it was not fetched."""
    try:
        with kafka_server({"log.segment.bytes": str(1 << 30)}) as server:
            yield server.bootstrap
    except pytest.skip.Exception as skipped:
        raise SystemExit(f"bench: {skipped}") from None
