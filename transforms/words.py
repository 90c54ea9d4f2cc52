"""The words that models of the operator's files are made of: names, flags, NULL.

Every scalar arrives as the text that was written (the loader never types YAML), so these models
type from text: ``required: true`` is the text ``true``, and the text ``null`` means NULL. Unknown
keys are errors. Validation errors are pydantic's; their `loc` is the path in the document.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

IDENTIFIER_BYTES_MAX = 63
"""PostgreSQL cuts longer names off without asking (NAMEDATALEN)."""

NULL = "null"
"""How NULL is written where a value is expected: in value maps, constants and defaults."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def identifier(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("a name is printable text that neither begins nor ends with a blank")
    if len(text.encode()) > IDENTIFIER_BYTES_MAX:
        raise ValueError(f"a name of a table or column has at most {IDENTIFIER_BYTES_MAX} bytes")
    return text


def plain_name(text: str) -> str:
    if not _PLAIN_NAME.fullmatch(text):
        raise ValueError("a name is made of letters, digits, '_' and '-'")
    return identifier(text)


def table_name(text: str) -> str:
    schema, dot, name = text.partition(".")
    if not dot:
        raise ValueError("write the table as schema.table")
    identifier(schema)
    identifier(name)
    return text


def target_name(text: str) -> str:
    for part in text.split(".", 1):
        identifier(part)
    return text


def flag(value: object) -> object:
    if value not in ("true", "false", True, False):
        raise ValueError("write true or false")
    return value in ("true", True)


Identifier = Annotated[str, AfterValidator(identifier)]
PlainName = Annotated[str, AfterValidator(plain_name)]
Flag = Annotated[bool, BeforeValidator(flag)]
Existing = Literal["refuse", "keep"]


class Strict(BaseModel):
    """Unknown keys are errors; nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
