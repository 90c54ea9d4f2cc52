"""What an answer says of the request: by its status, and by its body where `result` says where.

A status that is not 2xx stands, unless the body gives a code that is known. Of 2xx the body has the
last word: many APIs answer 200 and say inside that they did nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sinks.http.answers import at, outcome, parsed
from sinks.http.client import Answer
from sinks.http.entities import Outcome, Result

_YES = ("true", "1")
_SHOWN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}|-?[0-9]{1,9}")
"""Codes as APIs have them; what is anything else may hold a value, and is not shown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status`: HTTP's, or the one in the body; `in_body`: the body said it; `code`: as it may be
    shown; `silent`: what in the body should say it and does not."""

    outcome: Outcome
    status: int | None = None
    in_body: bool = False
    code: str | None = None
    silent: str = ""


def verdict(answer: Answer, declared: Mapping[str, Outcome], rules: Result | None) -> Verdict:
    """Of one answer."""
    said = outcome(answer.status, declared)
    if rules is None or answer.status in (204, 205):
        return Verdict(said, answer.status)
    document = parsed(answer.body)
    if said != "done" or not 200 <= answer.status < 300:
        code = _text(at(document, rules.code)) if rules.code is not None else None
        if code in rules.codes:
            return Verdict(rules.codes[code], answer.status, True, _shown(code))
        return Verdict(said, answer.status, code=_shown(code))
    if document is None:
        return Verdict("retry", answer.status, True, silent=answer.why or "it is no JSON")
    if rules.error and not isinstance(document, dict | list):  # such as a text
        silent = "it is nothing that could have an error"
        return Verdict("retry", answer.status, True, silent=silent)
    found = within(document, declared, rules)
    status = answer.status if found.status is None else found.status
    return Verdict(found.outcome, status, True, found.code, found.silent)


def within(document: Any, declared: Mapping[str, Outcome], rules: Result) -> Verdict:
    """Of a body, or of one item of it."""
    status, failed, said = None, False, None
    if rules.status is not None:
        text = str(at(document, rules.status))
        if not re.fullmatch(r"[1-5]\d\d", text):
            return Verdict("retry", in_body=True, silent="it gives no status")
        status = int(text)
        said = outcome(status, declared)
        failed = said != "done"
    if rules.ok is not None:
        ok = _text(at(document, rules.ok))
        if ok is None:
            return Verdict("retry", status, True, silent="it has no `ok`")
        failed |= ok not in _YES
    if rules.error is not None:
        failed |= bool(at(document, rules.error))
    code = None if rules.code is None else _text(at(document, rules.code))
    if rules.is_code_alone:
        if code is None:
            return Verdict("retry", status, True, silent="it gives no code")
        failed = True
    if not failed:
        return Verdict("done", status, True)
    if code in rules.codes:
        return Verdict(rules.codes[code], status, True, _shown(code))
    return Verdict("park" if said in (None, "done") else said, status, True, _shown(code))


def _text(value: Any) -> str | None:
    """As JSON would spell it, without quotes; None where it is no single value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _shown(code: str | None) -> str | None:
    return code if code is not None and _SHOWN.fullmatch(code) else None
