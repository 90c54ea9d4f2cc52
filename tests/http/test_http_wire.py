"""What comes over the wire: answers that are none, or too many, and connections that end."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from sinks.conformance import upsert
from tailrace.errors import RowRefused, TargetRefused, TargetUnavailable
from tests.http.raw import OK, Raw, close, serving
from tests.httprig import rows

CREATE = {
    "upsert": "by_operation",
    "create": {"url": "/items"},
    "update": {"url": "/items/{id}", "method": "POST"},
}


def row(n: int) -> object:
    return rows(upsert(str(n), "a", "1"), entry=n + 1)


@pytest.mark.parametrize("entity", [None, CREATE], ids=["PUT", "POST"])
def test_an_answer_that_nobody_asked_for_is_never_anothers(tmp_path: Path, entity: object) -> None:
    """The server answers the first request twice; the second request must not take that for its
    own answer, which is a refusal."""

    def script(number: int, connection: socket.socket) -> None:
        if number == 0:
            connection.sendall(OK + OK)
        else:
            connection.sendall(b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n")

    more = {} if entity is None else {"entities": {"item": entity}}
    with serving(script) as raw, raw.sink(tmp_path, **more) as sink:
        sink.write([row(0)])
        with pytest.raises(RowRefused, match="status 422"):
            sink.write([row(1)])


@pytest.mark.parametrize("entity", [None, CREATE], ids=["PUT", "POST"])
def test_an_answer_that_comes_late_is_never_anothers(tmp_path: Path, entity: object) -> None:
    ready = threading.Event()

    def script(number: int, connection: socket.socket) -> None:
        if number == 0:
            connection.sendall(OK)
            ready.wait(60)
            connection.sendall(OK)
            came.set()
        else:
            connection.sendall(b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n")

    came = threading.Event()
    more = {} if entity is None else {"entities": {"item": entity}}
    with serving(script) as raw, raw.sink(tmp_path, **more) as sink:
        sink.write([row(0)])
        ready.set()
        assert came.wait(60)
        with pytest.raises(RowRefused, match="status 422"):
            sink.write([row(1)])


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20,
    ],
)
def test_interim_answers_are_none(tmp_path: Path, before: bytes) -> None:
    def script(number: int, connection: socket.socket) -> None:
        connection.sendall(before + b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n")

    with (
        serving(script) as raw,
        raw.sink(tmp_path) as sink,
        pytest.raises(RowRefused, match="status 422"),
    ):
        sink.write([row(0)])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"<html>hello</html>",
        b"\x16\x03\x01\x02\x00\x01",
        b"",
    ],
)
def test_what_is_no_answer_is_asked_again_under_its_key(tmp_path: Path, answer: bytes) -> None:
    def script(number: int, connection: socket.socket) -> None:
        if number < 2:
            connection.sendall(answer)
            close(connection)
        else:
            connection.sendall(OK)

    with serving(script) as raw, raw.sink(tmp_path) as sink:
        sink.write([row(0)])
        assert len(raw.heads) == 3
        assert len(set(raw.keys)) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "what"),
    [
        (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", TargetRefused, "status 101"),
        (b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", RowRefused, "status 417"),
        (b"HTTP/1.0 400 No\r\n\r\nno length, and the end is the end", RowRefused, "status 400"),
    ],
)
def test_answers_that_are_seldom(
    tmp_path: Path, answer: bytes, kind: type[Exception], what: str
) -> None:
    def script(number: int, connection: socket.socket) -> None:
        connection.sendall(answer)
        close(connection)

    with serving(script) as raw, raw.sink(tmp_path) as sink, pytest.raises(kind, match=what):
        sink.write([row(0)])
    assert b"expect:" not in raw.heads[0].lower()


def test_a_server_that_closes_idle_connections_without_a_word(tmp_path: Path) -> None:
    """Each connection takes three requests; the last answer and its end come together. No change
    is lost or doubled, and it is no sign that the API is overloaded or broken."""

    def script(number: int, connection: socket.socket) -> None:
        connection.sendall(OK)
        served[connection] = served.get(connection, 0) + 1
        if served[connection] == 3:
            close(connection)

    served: dict[socket.socket, int] = {}
    more = {
        "entities": {"item": CREATE},
        "limits": {"concurrency": "8"},
        "breaker": {"failures": "5"},
    }
    with serving(script) as raw, raw.sink(tmp_path, **more) as sink:
        sink.write([rows(*(upsert(str(n), "a", "1") for n in range(300)))])
        assert len(set(raw.keys)) == 300
        assert sink._pace.permits.limit == 8


def test_a_refusal_before_all_was_sent(tmp_path: Path) -> None:
    """413, and the connection is closed while a large body is still on its way."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(1000))
                connection.sendall(
                    b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with (
        listener,
        Raw(listener.getsockname()[1]).sink(tmp_path, retries={"attempts": "1"}) as sink,
        pytest.raises((RowRefused, TargetUnavailable)),
    ):
        sink.write([rows(upsert("1", "x" * 5_000_000, "1"))])
    assert seen


def test_no_proxy_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(lambda number, connection: connection.sendall(OK)) as proxy,
        serving(lambda number, connection: connection.sendall(OK)) as raw,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        with raw.sink(tmp_path) as sink:
            sink.write([row(0)])
        assert len(raw.heads) == 1
        assert proxy.connections == 0
