"""Libraries that only some kinds of sources and targets need: extras of the package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from config.problems import Problems
from config.project import Project


@dataclass(frozen=True, slots=True)
class Extra:
    name: str
    libraries: tuple[str, ...]


def check_installed(
    project: Project, problems: Problems, loc: tuple[str, str], kind: str, extra: Extra
) -> None:
    """`loc`: of the source or target, whose type is `kind`."""
    if any(find_spec(library) is None for library in extra.libraries):
        problems.add(
            f"{'.'.join(loc)}: {loc[0]} of type {kind} are not installed",
            project.where(*loc, "type"),
            f"pip install 'tailrace[{extra.name}]'",
        )
