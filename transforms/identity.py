"""How records of an entity are recognised across sources, as an operator declares (`identity`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from transforms.words import Strict

RULES_MAX, EXPRESSIONS_MAX = 8, 8
"""Each rule costs an index on each side table, and a look-up for each row and other source."""

Expressions = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(min_length=1, max_length=EXPRESSIONS_MAX),
]


class Identity(Strict):
    """`match`: rules, of which any suffices. Two records of different sources meet a rule where
    each of its expressions gives both of them one value; NULL and the empty text are no value."""

    match: Annotated[tuple[Expressions, ...], Field(min_length=1, max_length=RULES_MAX)]
