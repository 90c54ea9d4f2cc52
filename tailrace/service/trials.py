"""The examples of a project's mappings: run, and shown as text, JSON or JUnit's XML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from config.load import load_project
from config.owners import beside, entities_of
from config.problems import suggest
from config.project import Project
from tailrace.errors import ConfigError
from transforms.trial import Trial, try_examples


@dataclass(frozen=True, slots=True)
class Outcome:
    """The trials of each mapping, by its name."""

    project: Project
    trials: dict[str, list[Trial]]

    @property
    def passed(self) -> bool:
        return not self._failed()

    def _failed(self) -> int:
        return sum(bool(trial.differences) for some in self.trials.values() for trial in some)

    def _place(self, mapping: str, trial: Trial) -> dict[str, object]:
        return self.project.where_in_mapping(mapping, ("examples", trial.at))

    def text(self) -> str:
        lines = []
        for mapping, trials in self.trials.items():
            good = sum(not trial.differences for trial in trials)
            lines.append(f"{mapping}: {good} of {len(trials)} examples ok")
            for trial in trials:
                if trial.differences:
                    lines += self._shown(mapping, trial)
        total = sum(map(len, self.trials.values()))
        failed = self._failed()
        return "\n".join([*lines, f"{total} examples, {failed} failed" if failed else "ok"])

    def _shown(self, mapping: str, trial: Trial) -> list[str]:
        place = self._place(mapping, trial)
        wide = max(len(one.field) for one in trial.differences)
        lines = [f"{place['file']}:{place['line']}:{place['column']}: {_title(trial)}"]
        for one in trial.differences:
            field = f"{one.field:{wide}}  " if wide else ""
            lines.append(f"    {field}expected  {one.expected}")
            lines.append(f"    {' ' * len(field)}     got  {one.got}")
        return lines

    def json(self) -> str:
        found = [
            {
                "mapping": mapping,
                "example": trial.at + 1,
                "name": trial.name,
                **self._place(mapping, trial),
                "passed": not trial.differences,
                "differences": [asdict(one) for one in trial.differences],
            }
            for mapping, trials in self.trials.items()
            for trial in trials
        ]
        return json.dumps({"examples": found, "failed": self._failed()}, indent=2)

    def junit(self) -> str:
        """As testing tools of CI systems read it."""
        root = ElementTree.Element("testsuites")
        for mapping, trials in self.trials.items():
            failures = sum(bool(trial.differences) for trial in trials)
            counts = {"name": mapping, "tests": str(len(trials)), "failures": str(failures)}
            suite = ElementTree.SubElement(root, "testsuite", counts)
            for trial in trials:
                place = self._place(mapping, trial)
                attributes = {"classname": mapping, "name": _title(trial)}
                attributes |= {"file": str(place["file"]), "line": str(place["line"])}
                case = ElementTree.SubElement(suite, "testcase", attributes)
                if trial.differences:
                    failure = ElementTree.SubElement(case, "failure", message="not as expected")
                    failure.text = "\n".join(self._shown(mapping, trial))
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def run(directory: Path, names: Sequence[str]) -> Outcome:
    """Run the examples of the named mappings; without names of all that have some.

    Errors: ConfigError where the project is wrong, or there is nothing to run.
    """
    project = load_project(directory, resolve_secrets=False)
    for name in names:
        if name not in project.mappings:
            fix = suggest(name, project.mappings, "mappings are")
            where: dict[str, object] = {"folder": "mappings"}
            raise ConfigError(f"no mapping is named {name!r}", where=where, fix=fix)
        if not project.mappings[name].examples:
            raise _nothing(f"mapping {name} has no examples", project.where_in_mapping(name))
    chosen = names or [name for name, mapping in project.mappings.items() if mapping.examples]
    if not chosen:
        raise _nothing("no mapping has examples", {"folder": "mappings"})
    return Outcome(
        project,
        {
            name: try_examples(
                project.mappings[name], entities_of(project, name), beside(project, name)
            )
            for name in chosen
        },
    )


def _nothing(what: str, where: dict[str, object]) -> ConfigError:
    fix = "write some: `columns` with types, and `examples` with given and expect"
    return ConfigError(what, where=where, fix=fix)


def _title(trial: Trial) -> str:
    return f"example {trial.at + 1}" + (f", {trial.name}" if trial.name else "")
