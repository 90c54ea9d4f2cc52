"""Syntax errors of YAML in plain words, with the way out for those that SQL in YAML provokes."""

from __future__ import annotations

import re

import yaml

from tailrace.errors import ConfigError

COMMA = (
    "inside {…} a comma ends a value: put the whole expression in double quotes, or write it in"
    " block style on a line of its own"
)
QUOTE = "put the value in double quotes if it is meant to begin so"

_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^[ ]*\t"), "indent with blanks, not with tabs"),
    (
        re.compile(r"[\[{].*\$\{"),
        "inside […] and {…} a ${reference} stands in double quotes",
    ),
    (re.compile(r"\{.*,"), COMMA),
    (
        re.compile(r"""(:[ ]|^[ ]*-[ ])[ ]*(['"]).*\2[ ]*\S"""),
        "a value that begins with a quote ends with it: put the whole expression in double quotes,"
        " or write it below `key: |`",
    ),
    (
        re.compile(r"""([:\[,-][ ])[ ]*[*&!%@`]|[\[,][*&!%@`]"""),
        "a value that begins with one of * & ! % @ ` stands in double quotes",
    ),
    (re.compile(r":[ ].*:([ ]|$)"), "a value that holds `: ` stands in double quotes"),
)
"""What the line at fault looks like, and what to do; the first that fits counts."""


def syntax_error(error: yaml.YAMLError, text: str, shown: str) -> ConfigError:
    """An error of the parser as ours."""
    if isinstance(error, yaml.reader.ReaderError):
        return _character_error(error, text, shown)
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it does not parse"
    if mark is None:
        return ConfigError(f"is not valid YAML: {problem}", where={"file": shown, "line": 1})
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    return ConfigError(
        f"is not valid YAML: {problem}",
        where={"file": shown, "line": mark.line + 1, "column": mark.column + 1},
        fix=_advice(line) or "see this line and the one before it",
    )


def _advice(line: str) -> str | None:
    return next((fix for shape, fix in _ADVICE if shape.search(line)), None)


def _character_error(error: yaml.reader.ReaderError, text: str, shown: str) -> ConfigError:
    """A character that YAML does not allow, such as NUL or an escape sequence."""
    forbidden = error.character if isinstance(error.character, int) else ord(error.character[:1])
    at = max(0, text.find(chr(forbidden)))
    before = text[:at]
    return ConfigError(
        f"holds the character U+{forbidden:04X}, which YAML does not allow",
        where={
            "file": shown,
            "line": before.count("\n") + 1,
            "column": len(before.rpartition("\n")[2]) + 1,
        },
        fix="remove it",
    )
