"""What an operator declares of a MariaDB or MySQL source, and how its URL is read."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from cdc.patterns import Patterns, some_included

Policy = Literal["exception", "null", "text"]
"""What becomes of dates that are none, see `cdc.mysql.zerodates`."""

_CONNECT_S_MAX = 31_536_000
_FILES = ("ssl_ca", "ssl_cert", "ssl_key")
_OPTIONS = (*_FILES, "ssl_verify_identity", "connect_timeout")


class BadOption(ValueError):
    """Of a URL that is one otherwise; says which, and what it may be."""


def arguments(url: str) -> dict[str, Any]:
    """The URL as PyMySQL's arguments. Errors: ValueError, which never shows the URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("mysql", "mariadb") or not parts.hostname or parts.fragment:
        raise ValueError("not a URL of MariaDB or MySQL")
    if parts.port == 0:
        raise BadOption("the port is a number from 1 to 65535")
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.strip("/")) or None,
        **_options(parts.query),
    }


def _options(query: str) -> dict[str, Any]:
    """Errors: BadOption; ValueError for what is no list of options."""
    given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    options: dict[str, Any] = dict(given)
    if len(options) < len(given):
        raise BadOption("an option stands twice")
    if not options.keys() <= set(_OPTIONS):
        raise BadOption(f"an option is none of {', '.join(_OPTIONS)}")
    for name in _FILES:
        if "\0" in (path := options.get(name, name)) or not path:
            raise BadOption(f"{name} is the path of a file")
    identity = options.pop("ssl_verify_identity", "false")
    if identity not in ("true", "false"):
        raise BadOption("ssl_verify_identity is true or false")
    # What follows would be passed over in silence.
    if identity == "true" and "ssl_ca" not in options:
        raise BadOption("ssl_verify_identity needs ssl_ca")
    if "ssl_key" in options and "ssl_cert" not in options:
        raise BadOption("ssl_key needs ssl_cert")
    timeout = options.get("connect_timeout", "10")
    if not re.fullmatch("[0-9]{1,8}", timeout) or not 0 < int(timeout) <= _CONNECT_S_MAX:
        raise BadOption(f"connect_timeout is seconds, from 1 to {_CONNECT_S_MAX}")
    options["connect_timeout"] = int(timeout)
    if "ssl_ca" in options:  # PyMySQL verifies nothing by itself
        options |= {"ssl_verify_cert": True, "ssl_verify_identity": identity == "true"}
    return options


def _checked(text: str) -> str:
    if "${" in text:  # a reference is left where files alone are checked
        return text
    try:
        arguments(text)
    except BadOption as error:
        raise PydanticCustomError(
            "connection_url", "in this connection URL {problem}", {"problem": str(error)}
        ) from None
    except ValueError:
        raise PydanticCustomError(
            "connection_url",
            "this is not a connection URL; expected is mariadb://user@host:3306/"
            " (or mysql://), with @ : / ? and % in a password written as %40 %3A %2F %3F and %25",
        ) from None
    return text


MysqlUrl = Annotated[str, Field(min_length=1, repr=False, exclude=True), AfterValidator(_checked)]
"""A pydantic field that may hold a password: it is in no repr and no dump."""


class BinlogSource(BaseModel):
    """A database whose binary log is read.

    url         of the primary, for a user with the rights that `tailrace check --sql` prints
    tables      patterns, see `cdc.patterns`; a schema is what these servers also call a database
    server_id   ours among the replicas of the server, of which two with one number cut each other
                off; left out, made of the project's and the source's names
    zero_dates  what becomes of dates that are none, see `cdc.mysql.zerodates`
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["mariadb", "mysql"]
    url: MysqlUrl
    tables: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(some_included)]
    server_id: Annotated[int, Field(ge=1, le=2**32 - 1)] | None = None
    zero_dates: Policy = "exception"

    retain_max: ClassVar[int] = 0
    """The server holds nothing for us: it keeps its log as long as its own settings say."""
    heartbeat_s: ClassVar[float] = 10.0

    @property
    def patterns(self) -> Patterns:
        return Patterns.parse(self.tables)


class MariadbSource(BinlogSource):
    """A MariaDB database."""

    type: Literal["mariadb"]


class MysqlSource(BinlogSource):
    """A MySQL database."""

    type: Literal["mysql"]
