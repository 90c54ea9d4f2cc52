"""What an answer means for the change that was sent.

    2xx                       done
    408 425 5xx               tried again
    429                       the same, without being counted as a failure
    409                       tried again: as the HTTP working group's draft has it, a request with
                              this key is still at work; parked where it stays so
    401 407                   credentials are refused: the pipeline pauses
    3xx                       not followed: the pipeline pauses
    404 410                   the record is not there: done for a delete, see `exchange`
    other 4xx                 parked; 422 may also say that the key was used with other contents

`answers` in the configuration says otherwise for single statuses or classes of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from sinks.http.client import Answer
from sinks.http.entities import Outcome

_RETRIED = frozenset({408, 409, 425})
_ABSENT = frozenset({404, 410})
_PAUSING = frozenset({401, 407})
THROTTLED = frozenset({429, 503})
UNTIMELY = frozenset({408, 425})
"""They say something of the API's health, as 5xx do; other statuses of a change."""
RETRY_AFTER_MAX_S = 24 * 3600.0


def outcome(status: int, declared: Mapping[str, Outcome]) -> Outcome:
    said = declared.get(str(status)) or declared.get(f"{status // 100}xx")
    if said is not None:
        return said
    if 200 <= status < 300:
        return "done"
    if status == 429:
        return "wait"
    if status >= 500 or status in _RETRIED:
        return "retry"
    if status in _ABSENT:
        return "absent"
    if status in _PAUSING or status < 400:
        return "pause"
    return "park"


def retry_after_s(answer: Answer) -> float | None:
    """Seconds that the answer asks to wait; None where it does not, or not in words we know."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, until - time()), RETRY_AFTER_MAX_S)


def problem_type(answer: Answer) -> str | None:
    """The `type` of a problem (RFC 9457), which names the kind of error and holds no values."""
    if "problem+json" not in answer.headers.get("Content-Type", "") or not answer.body:
        return None
    document = parsed(answer.body)
    found = document.get("type") if isinstance(document, dict) else None
    if isinstance(found, str) and len(found) <= 120 and found.isascii() and found.isprintable():
        return found
    return None


def parsed(body: bytes | None) -> Any:
    """JSON, or lines of it as a list; None where it is neither."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line) for line in body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def at(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; None where there is nothing."""
    found = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list):
            found = found[int(name)] if name.isdigit() and int(name) < len(found) else None
        else:
            return None
    return found
