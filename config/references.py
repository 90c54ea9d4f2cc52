"""Fills the references (`config.secrets`) in the settings of sources and targets, and in keys.

Only these may hold any: what is read and where it goes stands in the files, so that they can be
reviewed and checked without the environment. Keys, and the credentials of an API, are nothing else
than references: a key in a file is a key in its history, its backups and its readers' hands.
"""

from __future__ import annotations

from typing import Any

from config.places import Loc
from config.problems import Problems
from config.secrets import ReferenceProblem, has_reference, is_only_reference, resolve
from config.yaml import Document
from sinks.http.access import SECRETS

_SECTIONS = ("sources", "targets")
_IN_THE_FILE = ("type", "protect")
_KEYS = "keys"
_CREDENTIALS = (("auth",), ("sasl",), ("signature",), ("tls",))


def fill_in(document: Document, problems: Problems, *, resolve_secrets: bool) -> dict[Loc, str]:
    """Returns by path the values that held a reference, as they are written."""
    filler = _Filler(document, problems, resolve_secrets)
    document.value = filler.walk(document.value, ())
    return filler.written


class _Filler:
    def __init__(self, document: Document, problems: Problems, resolve_secrets: bool) -> None:
        self._places = document.places
        self._problems = problems
        self._resolve_secrets = resolve_secrets
        self.written: dict[Loc, str] = {}

    def walk(self, value: Any, loc: Loc) -> Any:
        if isinstance(value, dict):
            return {key: self.walk(inner, (*loc, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.walk(inner, (*loc, at)) for at, inner in enumerate(value)]
        if loc[0] == _KEYS and len(loc) > 2:
            return self._key(value, loc, "key", "make another with: openssl rand -hex 64")
        if loc[0] == "targets" and loc[2:3] in _CREDENTIALS and loc[-1] in SECRETS:
            return self._key(value, loc, "secret", "have another one made")
        settings = loc[0] in _SECTIONS and len(loc) > 2 and loc[2] not in _IN_THE_FILE
        return self._filled(value, loc) if settings else self._plain(value, loc)

    def _key(self, text: str, loc: Loc, kind: str, another: str) -> str:
        if is_only_reference(text):
            return self._filled(text, loc)
        self._problems.add(
            f"{_shown(loc)}: a {kind} is never written in the file",
            self._places.where(loc),
            f'write "${{file:/path/to/{kind}}}" or "${{VAR}}", alone and without a default; what'
            f" stands here is no secret any more, so {another}",
        )
        return text

    def _filled(self, text: str, loc: Loc) -> str:
        if has_reference(text):
            self.written[loc] = text
        try:
            return resolve(text, resolve_secrets=self._resolve_secrets)
        except ReferenceProblem as problem:
            self._problems.add(f"{_shown(loc)}: {problem}", self._places.where(loc), problem.fix)
            return text

    def _plain(self, text: str, loc: Loc) -> str:
        if has_reference(text):
            self._problems.add(
                f"{_shown(loc)}: only keys and the settings of sources and targets hold"
                " ${references}",
                self._places.where(loc),
                "write the value out",
            )
        return text


def _shown(loc: Loc) -> str:
    return ".".join(map(str, loc))
