"""What an operator declares of a target that is a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from sinks.settings import TargetSettings


def _file(text: str) -> str:
    if not text.strip() or "\0" in text or text.endswith("/"):
        raise ValueError("a path of a file, such as hub.db, is expected")
    if text.startswith((":", "file:")) or "://" in text:
        raise ValueError("a path of a file is expected, no URL and nothing in memory")
    return text


class FileTarget(TargetSettings):
    """path: of the file; where it is not absolute, from the project's directory on."""

    path: Annotated[
        str, AfterValidator(_file), WithJsonSchema({"type": "string", "minLength": 1})
    ]

    def file(self, project: Path) -> Path:
        """`project`: its directory."""
        return (project / Path(self.path).expanduser()).resolve()
