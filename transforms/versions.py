"""Versions of an entity, and who relies on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from transforms.words import Identifier, PlainName, Strict

_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
_BOUND = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(\d+(?:\.\d+){0,2})")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """As in semver.org, without pre-releases and build numbers: a contract is released or not."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Errors: ValueError."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError("write a version as 1.2.0 (semver.org)")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def next(self, level: str) -> Version:
        """The lowest one that is a step of `level` above."""
        if level == "major":
            return Version(self.major + 1, 0, 0)
        if level == "minor":
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1) if level == "patch" else self


def admits(wanted: str, version: Version) -> bool:
    """Whether a range such as ``>=1.2 <2``, ``^1.2`` (the same major), ``~1.2`` (the same minor) or
    ``1.2.0`` admits a version. Errors: ValueError."""
    return all(
        lowest <= version and (below is None or version < below)
        for lowest, below in _bounds(wanted)
    )


def _bounds(wanted: str) -> list[tuple[Version, Version | None]]:
    """For each part of a range: at least, and below. Errors: ValueError."""
    found: list[tuple[Version, Version | None]] = []
    rest = wanted.strip()
    while rest:
        match = _BOUND.match(rest)
        end = match.end() if match else 0
        if match is None or (end < len(rest) and rest[end] not in " ,"):
            raise ValueError("write versions as ^1.2, ~1.2, >=1.2 <3 or 1.2.0")
        found.append(_bound(match[1] or "=", match[2]))
        rest = rest[end:].lstrip(" ,")
    if not found:
        raise ValueError("name a version")
    return found


def _bound(operator: str, written: str) -> tuple[Version, Version | None]:
    numbers = [int(number) for number in written.split(".")]
    version = Version(*numbers, *[0] * (3 - len(numbers)))
    levels = ("major", "minor", "patch")
    after = version.next(levels[len(numbers) - 1])
    zero = Version(0, 0, 0)
    match operator:
        case ">=":
            return version, None
        case ">":
            return after, None
        case "<":
            return zero, version
        case "<=":
            return zero, after
        case "^":
            return version, version.next("major" if version.major else "minor")
        case "~":
            return version, version.next("minor" if len(numbers) > 1 else "major")
    return version, after


def _version(text: str) -> str:
    Version.parse(text)
    return text


def _wanted(text: str) -> str:
    _bounds(text)
    return text


VersionText = Annotated[str, AfterValidator(_version)]


class Consumer(Strict):
    """Who reads an entity. `fields`: those they rely on; none named: all. `versions`: a range."""

    name: PlainName
    contact: str | None = None
    fields: Annotated[tuple[Identifier, ...], Field(min_length=1)] | None = None
    versions: Annotated[str, AfterValidator(_wanted)] | None = None
