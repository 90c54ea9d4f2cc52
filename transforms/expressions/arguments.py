"""What a function of expressions is, and how it takes its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from transforms.expressions.literals import adopt
from transforms.expressions.typed import Refusal, Typed, as_text
from transforms.types import INT4, STRINGS, Kind

Arguments = Sequence[Typed]
Named = Mapping[str, Typed]
Build = Callable[[Arguments, Named], Typed]


@dataclass(frozen=True, slots=True)
class Function:
    """`signature` as the manual shows it; `least` and `most` count positional arguments."""

    signature: str
    build: Build
    least: int
    most: int | None
    named: tuple[str, ...] = ()


def as_string(value: Typed) -> Typed:
    """An argument declared as text: numbers and dates are not cast to it silently."""
    if value.kind not in STRINGS and value.kind is not Kind.LITERAL:
        raise Refusal(f"a text is expected here, not {value.type}", fix="cast it: x::text")
    return as_text(value)


def as_integer(value: Typed) -> Typed:
    value = adopt(value, INT4)
    if value.kind not in (Kind.INT2, Kind.INT4):
        raise Refusal(f"an integer is expected here, not {value.type}")
    return value


def constant(value: Typed, what: str) -> str:
    """The text of a quoted constant. Errors: Refusal, saying that `what` is one."""
    if value.kind is not Kind.LITERAL or value.constant is None:
        raise Refusal(f"{what} is a quoted constant")
    return value.constant


def whole(value: Typed, what: str) -> int:
    """A constant integer. Errors: Refusal, saying that `what` is one."""
    written = as_integer(value).constant
    if written is None:
        raise Refusal(f"{what} is a constant integer")
    return int(written)
