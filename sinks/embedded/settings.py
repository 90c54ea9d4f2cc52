"""What an operator declares of a target that is a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo, WithJsonSchema

from sinks.settings import TargetSettings


def _file(text: str, info: ValidationInfo) -> str:
    if not text.strip() or "\0" in text or text.endswith("/"):
        raise ValueError("a path of a file, such as hub.db, is expected")
    if text.startswith((":", "file:")) or "://" in text:
        raise ValueError("a path of a file is expected, no URL and nothing in memory")
    project = Path((info.context or {}).get("project", "."))
    return str((project / Path(text).expanduser()).resolve())


class FileTarget(TargetSettings):
    """path: of the file; where it is not absolute, from the project's directory on, which is
    `context["project"]` when settings are read."""

    path: Annotated[str, AfterValidator(_file), WithJsonSchema({"type": "string", "minLength": 1})]

    @property
    def file(self) -> Path:
        return Path(self.path)
