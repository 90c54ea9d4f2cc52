"""How commands show errors to people."""

from __future__ import annotations

from tailrace.errors import TailraceError

SHOWN_MAX = 20


def shown(error: TailraceError) -> str:
    """An error with a file as ``file:line:column: what  [TR-101]``, which editors turn into a link;
    any other as it prints itself. Several, one below the other."""
    errors = getattr(error, "errors", [error])
    lines = [_one(each) for each in errors[:SHOWN_MAX]]
    if len(errors) > SHOWN_MAX:
        lines.append(f"… and {len(errors) - SHOWN_MAX} more")
    return "\n".join(lines)


def _one(error: TailraceError) -> str:
    if "file" not in error.where:
        return f"tailrace: {error}  [{error.code}]"
    place = ":".join(
        str(error.where[key]) for key in ("file", "line", "column") if key in error.where
    )
    first, *excerpt = error.what.split("\n")
    lines = [f"{place}: {first}  [{error.code}]", *excerpt]
    return "\n".join(lines) + (f"\n  → {error.fix}" if error.fix else "")
