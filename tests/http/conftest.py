"""One API process for all tests of a worker; each test has a path of its own there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.http_api import HttpApi, started
from tests.httprig import ITEM, PUT, Rig


@pytest.fixture(scope="session")
def api() -> Iterator[HttpApi]:
    with started() as made:
        yield made


Made = Callable[..., Rig]


@pytest.fixture
def rig(api: HttpApi, tmp_path: Path) -> Iterator[Made]:
    """Makes an opened sink: ``rig(entity, **settings)``; `table` is what it is prepared for."""
    with ExitStack() as stack:

        def make(entity: dict[str, Any] = PUT, table: Any = ITEM, **more: Any) -> Rig:
            made = Rig(api, tmp_path, entity, **more)
            made.table = table
            made.sink.open("journal")
            stack.callback(made.sink.close)
            made.sink.prepare([table])
            return made

        yield make
