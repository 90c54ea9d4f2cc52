"""References in values: ``${VAR}``, ``${VAR:-default}``, ``${VAR:?message}``, ``${file:/path}``.

``$$`` is one dollar sign. What a reference resolves to never appears in an error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_REFERENCE = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|(\{?))")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?", re.DOTALL)
SECRET_BYTES_MAX = 64 << 10


class ReferenceProblem(ValueError):
    """One sentence, without any value; `fix` says what to do."""

    def __init__(self, what: str, fix: str) -> None:
        self.fix = fix
        super().__init__(what)


def resolve(text: str, *, resolve_secrets: bool = True) -> str:
    """`text` with its references filled in.

    Without `resolve_secrets` only their spelling is checked, and they stay as they are.
    Errors: ReferenceProblem.
    """

    def fill(matched: re.Match[str]) -> str:
        if matched[1]:
            return "$" if resolve_secrets else "$$"
        if matched[2] is None:
            if matched[3]:
                raise ReferenceProblem("a reference ${… is not closed", "close it with }")
            return "$"
        value = _lookup(matched[2], resolve_secrets)
        return matched[0] if value is None else value

    return _REFERENCE.sub(fill, text)


def _lookup(reference: str, resolve_secrets: bool) -> str | None:
    if reference.startswith("file:"):
        path = reference.removeprefix("file:")
        if not path:
            raise ReferenceProblem("${file:} names no file", "write ${file:/path/to/secret}")
        return _file(path) if resolve_secrets else None
    matched = _VARIABLE.fullmatch(reference)
    if matched is None:
        raise ReferenceProblem(
            f"${{{reference[:40]}}} is not a reference",
            "write ${VAR}, ${VAR:-default}, ${VAR:?message} or ${file:/path}; $$ is a dollar sign",
        )
    if not resolve_secrets:
        return None
    name, kind, rest = matched.groups()
    value = os.environ.get(name)
    if value or (value is not None and kind is None):
        return value
    if kind == ":-":
        return str(rest)
    if kind == ":?":
        raise ReferenceProblem(f"the variable {name} is not set: {rest}", f"set {name}")
    raise ReferenceProblem(f"the variable {name} is not set", f"set {name} in the environment")


def _file(path: str) -> str:
    try:
        data = Path(path).read_bytes()[: SECRET_BYTES_MAX + 1]
        if len(data) > SECRET_BYTES_MAX:
            raise ReferenceProblem(f"the file {path} is too large for a secret", "name another")
        return data.decode().rstrip("\r\n")
    except OSError as error:
        raise ReferenceProblem(
            f"the file {path} cannot be read: {error.strerror}", "see that it exists and is ours"
        ) from None
    except UnicodeDecodeError:
        raise ReferenceProblem(f"the file {path} is not UTF-8 text", "name another") from None


def redact_url(url: str) -> str:
    """A connection URL with its password masked, for people to read."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    if parts.scheme and parts.netloc:
        user, at, host = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        masked = f"{name}:***{at}{host}" if ":" in user else parts.netloc
        query = re.sub(r"(password=)[^&]*", r"\1***", parts.query)
        return urlunsplit((parts.scheme, masked, parts.path, query, ""))
    return re.sub(r"(password\s*=\s*)('[^']*'|\S+)", r"\1***", url)
