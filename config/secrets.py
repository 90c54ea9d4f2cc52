"""References in values: ``${VAR}``, ``${VAR:-default}``, ``${VAR:?message}``, ``${file:/path}``.

``$$`` is one dollar sign. What a reference resolves to never appears in an error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SECRET_BYTES_MAX = 64 << 10

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<inside>[^{}]*)\}|(?P<open>\{))")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?", re.DOTALL)


class ReferenceProblem(ValueError):
    """One sentence, without any value; `fix` says what to do."""

    def __init__(self, what: str, fix: str) -> None:
        self.fix = fix
        super().__init__(what)


def resolve(text: str, *, resolve_secrets: bool = True) -> str:
    """`text` with its references filled in.

    Without `resolve_secrets` no file is read, and a variable that is not set stays as it is
    written; see `is_unresolved`. Errors: ReferenceProblem.
    """

    def fill(matched: re.Match[str]) -> str:
        if matched["dollar"]:
            return "$"
        if matched["open"]:
            raise ReferenceProblem("a reference ${… is not closed", "close it with }")
        value = _looked_up(matched["inside"], resolve_secrets)
        return matched[0] if value is None else value

    return _REFERENCE.sub(fill, text)


def has_reference(text: str) -> bool:
    """Whether `text`, as it is written, holds a reference."""
    return any(matched["dollar"] is None for matched in _REFERENCE.finditer(text))


def is_only_reference(text: str) -> bool:
    """Whether `text`, as it is written, is one reference that says nothing of the value itself."""
    matched = _REFERENCE.fullmatch(text)
    return matched is not None and bool(matched["inside"]) and ":-" not in matched["inside"]


def is_unresolved(text: str) -> bool:
    """Whether `resolve` had to leave a reference in `text`."""
    return any(matched["inside"] for matched in _REFERENCE.finditer(text))


def _looked_up(reference: str, resolve_secrets: bool) -> str | None:
    if reference.startswith("file:"):
        path = Path(reference.removeprefix("file:"))
        if not path.is_absolute():
            raise ReferenceProblem(
                f"${{{reference}}} names no absolute path", "write ${file:/path/to/secret}"
            )
        return _file(path) if resolve_secrets else None
    matched = _VARIABLE.fullmatch(reference)
    if matched is None:
        raise ReferenceProblem(
            "the text between ${ and } is not a reference",
            "write ${VAR}, ${VAR:-default}, ${VAR:?message} or ${file:/path}; $$ is a dollar sign",
        )
    name, kind, rest = matched.groups()
    value = os.environ.get(name)
    if value:
        return value
    if kind == ":-":
        return str(rest)
    if not resolve_secrets:
        return None
    state = "is not set" if value is None else "is empty"
    if kind == ":?" and rest:
        raise ReferenceProblem(f"the variable {name} {state}: {rest}", f"set {name}")
    raise ReferenceProblem(f"the variable {name} {state}", f"set {name} in the environment")


def _file(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise ReferenceProblem(f"{path} is not a file", "name another")
        with path.open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
        if len(data) > SECRET_BYTES_MAX:
            raise ReferenceProblem(f"the file {path} is too large for a secret", "name another")
        text = data.decode().rstrip("\r\n")
    except OSError as error:
        raise ReferenceProblem(
            f"the file {path} cannot be read: {error.strerror}",
            "see that it exists and that we may read it",
        ) from None
    except UnicodeDecodeError:
        raise ReferenceProblem(f"the file {path} is not UTF-8 text", "name another") from None
    if not text:
        raise ReferenceProblem(f"the file {path} is empty", "write the secret into it")
    return text
