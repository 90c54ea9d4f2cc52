"""Where a PostgreSQL database is: a URL or a ``key=value`` string, as libpq reads them.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING

What libpq does not understand it shows in its messages, passwords included; so it is refused here
first, without showing it. `psycopg` is not asked, since not every process needs to import it.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote_to_bytes

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/?,@\[\]]*)(?::[0-9]*)?"
_PAIR = r"[^&=\s]+=[^&=\s]*"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^@/\s]*@)?+{_HOST}(?:,{_HOST})*(?:/[^?\s]*)?(?:\?{_PAIR}(?:&{_PAIR})*)?"
)
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})|%00")
_VALUE = r"(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)"
_CONNINFO = re.compile(rf"\s*\w+\s*=\s*{_VALUE}(?:\s+\w+\s*=\s*{_VALUE})*\s*", re.DOTALL)


def is_connection(text: str) -> bool:
    """Whether libpq would read it, or read it after complaining of the name of an option."""
    if text.startswith(("postgresql:", "postgres:")):
        return bool(_URL.fullmatch(text)) and not _BAD_ESCAPE.search(text) and _is_utf8(text)
    return bool(_CONNINFO.fullmatch(text))


def _is_utf8(url: str) -> bool:
    try:
        unquote_to_bytes(url).decode()
    except UnicodeDecodeError:
        return False
    return True


def _checked(text: str) -> str:
    if "${" in text or is_connection(text):  # a reference is left where files alone are checked
        return text
    raise PydanticCustomError(
        "connection_url",
        "this is not a connection URL; expected is postgresql://user@host:5432/database, with"
        " @ : / ? and % in a password written as %40 %3A %2F %3F and %25",
    )


PostgresUrl = Annotated[
    str, Field(min_length=1, repr=False, exclude=True), AfterValidator(_checked)
]
"""A pydantic field that may hold a password: it is in no repr and no dump."""
