"""Expressions of a rule of identity in MariaDB's and MySQL's words, with PostgreSQL's meaning."""

from __future__ import annotations

from sinks.mysql.names import quoted
from tailrace.errors import TargetRefused
from transforms.matching import Call, Field, Form


def said(form: Form) -> str:
    """Over the columns of a side table. Errors: TargetRefused for what these servers have no words
    for, with another way to say it."""
    match form:
        case Field(name):
            return quoted(name)
        case str():
            return text(form)
        case int():
            return str(form)
        case Call("||", (one, other)):
            return f"concat({said(one)}, {said(other)})"
        case Call("btrim" | "ltrim" | "rtrim" as function, (one, *characters)):
            return _trimmed(function, said(one), _constant(function, *characters or (" ",)))
        case Call("substring", (one, int(first), *count)):
            return _part(said(one), first, *count)
        case Call("translate", (one, old, new)):
            return _translated(said(one), _constant("translate", old), _constant("translate", new))
        case Call("replace", (one, old, new)):
            # With a NULL in its place MariaDB gives NULL or the text, as it is.
            return _replaced(said(one), _constant("replace", old), _constant("replace", new))
        case Call("left" | "right" | "substring" as function, (_, *numbers)) if any(
            not isinstance(number, int) for number in numbers
        ):
            raise _unsaid(f"{function} with a number that is not a constant")
        case Call(function, of):
            return f"{function}({', '.join(map(said, of))})"


def text(value: str) -> str:
    """A constant, comparable with any column."""
    return "_utf8mb4'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _constant(function: str, form: Form) -> str:
    if not isinstance(form, str):
        raise _unsaid(f"{function} with characters that are not a constant")
    return form


def _trimmed(function: str, of: str, characters: str) -> str:
    if not characters:
        return of
    if len(characters) == 1:
        where = {"btrim": "both", "ltrim": "leading", "rtrim": "trailing"}[function]
        return f"trim({where} {text(characters)} from {of})"
    numbers = "|".join(f"{ord(character):08X}" for character in characters)
    start, end = rf"\A(?:{numbers})++", rf"(?:{numbers})++\z"
    if function != "rtrim":
        of = f"right({of}, {_without(start, of)})"
    if function != "ltrim":
        of = f"left({of}, {_without(end, of)})"
    return of


def _without(pattern: str, of: str) -> str:
    """How many characters are left. Their numbers are searched, since MariaDB 10.5 has patterns for
    no other characters than those of three bytes: it takes all others for question marks."""
    numbers = f"hex(convert({of} using utf32))"
    return f"length(regexp_replace({numbers}, {text(pattern)}, {text('')})) div 8"


def _part(of: str, first: int, count: Form | None = None) -> str:
    """Characters are counted from 1, and what lies before the first counts, too."""
    if count is None:
        return f"substring({of}, {max(first, 1)})"
    if not isinstance(count, int):
        raise _unsaid("substring with a number that is not a constant")
    return f"substring({of}, {max(first, 1)}, {max(count - max(1 - first, 0), 0)})"


def _translated(of: str, old: str, new: str) -> str:
    """One replacement after the other, none of which sees what another has made."""
    rest: dict[str, str] = {}
    for at, character in enumerate(old):
        rest.setdefault(character, new[at : at + 1])
    rest = {character: by for character, by in rest.items() if character != by}
    while rest:
        safe = next((one for one, by in rest.items() if by not in rest), None)
        if safe is None:
            raise _unsaid("translate that exchanges characters")
        of = _replaced(of, safe, rest.pop(safe))
    return of


def _replaced(of: str, old: str, new: str) -> str:
    return f"replace({of}, {text(old)}, {text(new)})"


def _unsaid(what: str) -> TargetRefused:
    return TargetRefused(
        f"MariaDB and MySQL have no {what}", fix="let mappings bring the field into one form"
    )
