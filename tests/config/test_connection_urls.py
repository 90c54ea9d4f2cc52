"""What is accepted as a connection libpq understands, so that it never quotes a password."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from cdc.urls import is_connection
from sinks.postgres.settings import PostgresTarget


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://h",
        "postgres://u@h:5432/db",
        "postgresql://u:p%40%2F@h:5432/db?sslmode=verify-full&application_name=x",
        "postgresql://u:p@[::1]:5432/db",
        "postgresql://u:p@a:1,b:2/db?target_session_attrs=read-write",
        "postgresql:///db?host=/tmp",
        "host=h port=5432 user=u password='a b\\' c' dbname=d",
        "host = h",
    ],
)
def test_connections_are_accepted(url: str) -> None:
    assert is_connection(url)
    conninfo_to_dict(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sesame",
        "postgresql://%a0@h",
        "mysql://u:p@h/db",
        "postgres//u:p@h",
        "postgresql:/u:p@h",
        "postgresql://u:p/x@h/db",
        "postgresql://u:p@x@h/db",
        "postgresql://u:p%@h",
        "postgresql://u:p%00@h",
        "postgresql://h:port/db",
        "postgresql://[::1]x:5432",
        "postgresql://h/db?password",
        "postgresql://h/db?a=b=c",
        "postgresql://h /db",
        "host=h password",
        "host=h 'x'",
    ],
)
def test_others_are_refused_without_being_shown(url: str) -> None:
    assert not is_connection(url)
    with pytest.raises(ValidationError) as caught:
        PostgresTarget.model_validate({"type": "postgres", "url": url})
    for found in caught.value.errors(include_input=False):
        assert url == "" or url not in found["msg"]
    assert url == "" or url not in str(caught.value)


_TEXT = st.text(st.sampled_from("abc:/@?&=,.[]%20'\\ #-_é"), max_size=30)


@given(st.sampled_from(["postgresql://", "postgres://", "", "host="]), _TEXT)
@settings(max_examples=1000, deadline=None)
@example("postgresql://", "[a:b@")
@example("postgresql://", "?a=b@c")
@example("postgresql://", "?@=?0")
def test_libpq_reads_what_is_accepted(begin: str, rest: str) -> None:
    text = begin + rest
    if not is_connection(text):
        return
    refused = _refusal(text)
    # only the name of an option may be at fault
    assert (
        refused is None
        or "invalid connection option" in refused
        or "invalid URI query parameter" in refused
    )


def _refusal(text: str) -> str | None:
    try:
        conninfo_to_dict(text)
    except ProgrammingError as error:
        return str(error)
    return None
