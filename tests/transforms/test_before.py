"""What the log says of rows before, in the words of the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.transforms.batches import Change, batch, table
from transforms.entity import Entity
from transforms.model import Mapping
from transforms.router import Router
from transforms.rows import RowChanges

PHONE = Entity.model_validate(
    {
        "entity": "phone",
        "key": ["no"],
        "fields": {"no": {"type": "text", "required": "true"}, "number": {"type": "text"}},
    }
)
PERSON = table("sales.person", {"id": "integer", "home": "text", "work": "text"}, ["id"], full=True)
BOTH = Mapping.model_validate(
    {
        "mapping": "phones",
        "table": "sales.person",
        "rows": [
            {
                "name": kind,
                "entity": "phone",
                "key": {"no": f"'{kind}-' || id"},
                "fields": {"number": kind},
            }
            for kind in ("home", "work")
        ],
    }
)


def known(rows: RowChanges) -> Iterator[tuple[Any, ...]]:
    """(key, value, value before or None where it is not known)."""
    for at in range(rows.rows):
        was = None
        if rows.before is not None and rows.before.known[at].as_py():
            was = rows.before.values[1][at].as_py()
        yield rows.values[0][at].as_py(), rows.values[1][at].as_py(), was


def test_each_row_of_a_change_has_its_own_before() -> None:
    change = Change(
        "u",
        {"id": "1", "home": "b", "work": "a"},
        {"id": "1", "home": "a", "work": "b"},
        whole=True,
    )
    with Router((), (BOTH,), {"phone": PHONE}, tells_before=True) as router:
        made = router.route(batch(PERSON, [change]), 0)
    found = [row for rows in made for row in known(rows)]
    assert found == [("home-1", "b", "a"), ("work-1", "a", "b")]
