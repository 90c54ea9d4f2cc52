"""Values as people may see them who have not asked to see all: previews, exceptions, samples.

A field is masked by its class. A source column has none of its own; it counts as the strictest of
the fields that are computed from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from transforms.classes import PROTECTED, FieldClass, MaskStyle, strictest
from transforms.columns import TEXT
from transforms.program import Output, Program
from transforms.protect.masks import masked


def class_of(program: Program, output: Output) -> FieldClass:
    return program.target.columns[output.index].field_class or "internal"


def source_classes(programs: Iterable[Program]) -> dict[str, FieldClass]:
    """By name, the class of each source column that some field is computed from."""
    found: dict[str, FieldClass] = {}
    for program in programs:
        for output in (*program.keys, *program.fields):
            for at in output.reads:
                name = program.column(at)
                known = found.get(name, "public")
                found[name] = strictest((known, class_of(program, output)))
    return found


def veiled(
    values: pa.Array, field_class: FieldClass | None, style: MaskStyle = "first"
) -> pa.Array:
    """The column as text for people: masked where it is personal, stars where it is secret."""
    texts = values.cast(TEXT)
    if field_class not in PROTECTED:
        return texts
    return masked(texts, "text", "all" if field_class == "secret" else style)


def shown(
    text: str | None, field_class: FieldClass | None, style: MaskStyle = "first"
) -> str | None:
    """The same of one value. NULL is seen to be NULL."""
    found: str | None = veiled(pa.array([text], TEXT), field_class, style)[0].as_py()
    return found


def shown_row(
    values: Mapping[str, str | None], classes: Mapping[str, FieldClass]
) -> dict[str, str | None]:
    """A source row, its `classes` as `source_classes` gives them."""
    return {name: shown(text, classes.get(name)) for name, text in values.items()}
