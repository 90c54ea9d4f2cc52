"""How far the values of a field may go: its class, and how it looks where it is masked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

FieldClass = Literal["public", "internal", "personal", "secret"]
"""public    may be shown to anybody
internal  of the organisation (the default): shown to those who operate Tailrace
personal  of a person: never shown unless asked for, and sent to no target without a rule
secret    the same, and not even its first character is shown
"""

MaskStyle = Literal["first", "last4", "all"]
"""What a mask leaves of a text: its first character, its last four, nothing."""

CLASSES: tuple[FieldClass, ...] = get_args(FieldClass)
PROTECTED = frozenset({"personal", "secret"})
"""Classes that need a rule at each target, and are masked where people look on."""


def strictest(classes: Iterable[FieldClass]) -> FieldClass:
    """Of several, the one that allows least. None of them: public."""
    return max(classes, key=CLASSES.index, default="public")
