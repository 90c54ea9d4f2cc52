"""Targets that are files: what they cannot hold, and that each is declared once."""

from __future__ import annotations

from config.owners import composites
from config.problems import Problems
from config.project import Project
from sinks.embedded.settings import FileTarget


def check_files(project: Project, problems: Problems) -> None:
    if problems.found:
        return
    first: dict[str, str] = {}
    for name, target in project.targets.items():
        if not isinstance(target, FileTarget):
            continue
        other = first.setdefault(target.path, name)
        if other != name:
            problems.add(
                f"targets.{name}.path is the file of targets.{other}, too",
                project.where("targets", name, "path"),
                "declare the file once, and let several pipelines name that target",
            )
        for composite in composites(project, name).values():
            problems.add(
                f"targets.{name}: several sources feed entity {composite.entity}, which a file"
                " does not keep apart",
                project.where("targets", name, "type"),
                "let one source feed it there, or write it to a PostgreSQL, MariaDB or MySQL"
                " target",
            )
