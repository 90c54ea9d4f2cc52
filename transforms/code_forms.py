"""The form that a value's text has by its type, so that a value map's codes can be held to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from transforms.types import INTEGERS, Kind, Type


@dataclass(frozen=True, slots=True)
class CodeForm:
    """`says` completes ``the code X never comes: …``."""

    pattern: re.Pattern[str]
    says: str


def code_form(type_: Type) -> CodeForm | None:
    """None where any text may come."""
    if type_.kind in INTEGERS:
        return CodeForm(re.compile(r"0|-?[1-9][0-9]*"), f"{type_} prints numbers such as 7 and -1")
    if type_.kind is Kind.BOOL:
        return CodeForm(re.compile("true|false"), "a boolean's text is true or false")
    if type_.kind is Kind.BPCHAR:
        return CodeForm(re.compile(r"|.*[^ ]", re.DOTALL), f"{type_} loses its trailing blanks")
    if type_.fixed:
        return _decimal(type_)
    return None


def _decimal(type_: Type) -> CodeForm:
    digits = f"{{{type_.scale}}}"
    point = rf"\.[0-9]{digits}" if type_.scale else ""
    shown = "7" + ("." + "0" * type_.scale if type_.scale else "")
    return CodeForm(
        re.compile(rf"-?(?:0|[1-9][0-9]*){point}|NaN"),
        f"{type_} prints all its digits, as in {shown}",
    )
