"""The replication stream: the socket, its buffer, and status updates. Waiting happens here only.

After START_REPLICATION the server speaks a handful of message types. libpq would copy and hand
over each row by itself (3 µs a row); so on a connection without TLS the socket is read in large
pieces and the decoder splits the frames. The socket is taken over *before* libpq has read any
answer to START_REPLICATION, so that no byte can be left in libpq's own buffer. With TLS the bytes
come through libpq, framed again for the same decoder.
"""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

import psycopg
from psycopg import pq

from cdc.changes import ChangeSet
from cdc.postgres.decode import PgoutputDecoder
from cdc.postgres.lsn import format_lsn, parse_lsn
from tailrace.errors import SourceUnavailable
from tailrace.failpoints import failpoint

BUFFER_BYTES = 1 << 20
"""One read of this size holds several thousand rows; larger does not measure faster."""

SHORT_READ_BYTES = 64 << 10
NAP_S = 0.0005
NAP_MAX_S = 0.005
"""The server writes each row by itself. Inside a transaction, a nap after a short read lets rows
gather, and cuts the system calls of a million rows from hundreds of thousands to thousands. Naps
begin short, for the latency of small transactions, and double while the transaction lasts."""

LOOPBACK_RECEIVE_BYTES = 128 << 10
"""Between processes of one machine each row would go through the whole of TCP, which costs the
server more than decoding it. With a small window, which is shut during a nap, the rows gather in
the server's send buffer and travel in pieces of 64 kB: 3.8 s of the server's CPU for a million
rows instead of 6.3 s (docs/decisions/0010). Over a network a small window would limit the rate,
and the network card gathers by itself."""

_POSTGRES_EPOCH_US = 946_684_800_000_000
_STATUS = struct.Struct(">cQQQqB")


_FRUITLESS_MAX = 3
"""A TLS record holds 16 kB, of which libpq takes 8 kB at a time; the rest waits in OpenSSL, where
poll does not see it. So libpq is asked until it has had nothing this often."""


class Transport(Protocol):
    @property
    def pending(self) -> bool:
        """Whether bytes wait on this side of the socket, where poll does not see them."""

    def receive(self, into: memoryview) -> int:
        """Fill the beginning of `into`; return bytes, 0 when there are none now."""

    def send(self, payload: bytes) -> None:
        """Send one CopyData."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class SocketTransport:
    """Reads the connection's socket itself; libpq keeps it open and is not asked again."""

    def __init__(self, pgconn: pq.abc.PGconn, command: bytes) -> None:
        self._socket = socket.socket(fileno=os.dup(pgconn.socket))
        if _is_loopback(self._socket):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LOOPBACK_RECEIVE_BYTES)
        pgconn.send_query(command)
        while pgconn.flush():
            select.select([], [pgconn.socket], [])
        self._socket.setblocking(False)
        self.pending = False

    def receive(self, into: memoryview) -> int:
        try:
            received = self._socket.recv_into(into)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise SourceUnavailable(f"the source's connection broke: {error.strerror}") from error
        if received == 0:
            raise SourceUnavailable("the source closed the replication connection")
        return received

    def send(self, payload: bytes) -> None:
        frame = memoryview(b"d" + struct.pack(">I", len(payload) + 4) + payload)
        deadline = time.monotonic() + 30
        while frame:
            try:
                frame = frame[self._socket.send(frame) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SourceUnavailable("the source takes no status update") from None
                select.select([], [self._socket], [], 1)
            except OSError as error:
                raise SourceUnavailable(
                    f"the source's connection broke: {error.strerror}"
                ) from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


class LibpqTransport:
    """Goes through libpq, as TLS needs; frames what libpq unframed."""

    def __init__(self, pgconn: pq.abc.PGconn, command: bytes) -> None:
        self._pgconn = pgconn
        result = pgconn.exec_(command)
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise SourceUnavailable(
                "the source refused START_REPLICATION: "
                + result.get_error_message().strip().splitlines()[0]
            )
        pgconn.nonblocking = 1
        self._left = b""
        self.pending = True  # rows may have come with the answer

    def receive(self, into: memoryview) -> int:
        self.pending = False
        filled = self._fill(into, 0, self._left)
        if self._left:
            self.pending = True
            return filled
        try:
            fruitless = 0
            while fruitless < _FRUITLESS_MAX and not self.pending:
                self._pgconn.consume_input()
                before, filled = filled, self._drain(into, filled)
                more = filled > before or select.select([self._pgconn.socket], [], [], 0)[0]
                fruitless = 0 if more else fruitless + 1
        except psycopg.OperationalError as error:
            raise SourceUnavailable(f"the source's connection broke: {error}") from error
        return filled

    def _drain(self, into: memoryview, filled: int) -> int:
        """What libpq holds whole, framed; `pending` where `into` is full before libpq is empty."""
        while True:
            size, data = self._pgconn.get_copy_data(1)
            if size == 0:
                return filled
            if size < 0:
                self._raise_end()
            filled = self._fill(into, filled, b"d" + struct.pack(">I", size + 4) + bytes(data))
            if self._left or filled == len(into):
                self.pending = True
                return filled

    def _fill(self, into: memoryview, at: int, data: bytes) -> int:
        fits = data[: len(into) - at]
        into[at : at + len(fits)] = fits
        self._left = data[len(fits) :]
        return at + len(fits)

    def _raise_end(self) -> None:
        result = self._pgconn.get_result()
        text = result.get_error_message().strip() if result else ""
        raise SourceUnavailable(
            "the source ended the stream" + (f": {text.splitlines()[0]}" if text else "")
        )

    def send(self, payload: bytes) -> None:
        self._pgconn.put_copy_data(payload)
        while self._pgconn.flush():
            select.select([self._pgconn.socket], [self._pgconn.socket], [], 1)
            self._pgconn.consume_input()

    def fileno(self) -> int:
        return self._pgconn.socket

    def close(self) -> None:
        pass


class ReplicationStream:
    """One START_REPLICATION on a replication connection, feeding a decoder."""

    def __init__(
        self,
        connection: psycopg.Connection,
        decoder: PgoutputDecoder,
        *,
        slot: str,
        publication: str,
        start: int,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        command = (
            f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(start)} ('
            "proto_version '1', messages 'true', "
            f"publication_names '{_quoted_name(publication)}')"
        ).encode()
        pgconn = connection.pgconn
        through_libpq = pgconn.ssl_in_use
        self._connection = connection
        self._transport: Transport = (LibpqTransport if through_libpq else SocketTransport)(
            pgconn, command
        )
        self._poll = select.poll()
        self._poll.register(self._transport.fileno(), select.POLLIN)
        self._decoder = decoder
        self._buffer = bytearray(buffer_bytes)
        self._start = self._stop = 0

    @property
    def position(self) -> str:
        return format_lsn(self._decoder.position)

    @property
    def facts(self) -> Mapping[str, str]:
        return {}

    @property
    def at_rest(self) -> bool:
        return self._decoder.rows == 0

    def reply_wanted(self) -> bool:
        return self._decoder.reply_wanted()

    def changes(self, timeout_s: float) -> Iterator[ChangeSet]:
        """Wait for bytes, then yield everything that has arrived as change sets.

        Errors: SourceUnavailable, DecodeError.
        """
        if not self._transport.pending and not self._poll.poll(max(0, int(timeout_s * 1000))):
            return
        nap_s = NAP_S
        while received := self._receive():
            failpoint("capture.read")
            while self._decode():
                if full := self._decoder.take():
                    yield full
            if received < SHORT_READ_BYTES:
                if self._decoder.complete:
                    break
                time.sleep(nap_s)
                nap_s = min(2 * nap_s, NAP_MAX_S)
        if self._decoder.complete and (ready := self._decoder.take()):
            yield ready

    def _receive(self) -> int:
        self._make_room()
        received = self._transport.receive(memoryview(self._buffer)[self._stop :])
        self._stop += received
        return received

    def _decode(self) -> bool:
        """Decode what was received; True where the set became full and bytes remain."""
        self._start = self._decoder.feed(self._buffer, self._start, self._stop)
        if self._decoder.ended:
            error = self._decoder.error or {}
            raise SourceUnavailable(
                "the source ended the stream: " + error.get("M", "server shut down"),
                where={"sqlstate": error.get("C")},
            )
        return self._decoder.full and self._start < self._stop

    def _make_room(self) -> None:
        held = self._stop - self._start
        if held == 0:
            self._start = self._stop = 0
        need = max(self._decoder.need, 5)
        if need > len(self._buffer):
            self._buffer = self._buffer[self._start : self._stop] + bytearray(need + 65536 - held)
        elif len(self._buffer) - self._start < need or self._stop == len(self._buffer):
            self._buffer[:held] = self._buffer[self._start : self._stop]
        else:
            return
        self._start, self._stop = 0, held

    def acknowledge(self, position: str) -> None:
        durable = parse_lsn(position)
        now = int(time.time() * 1_000_000) - _POSTGRES_EPOCH_US
        written = max(durable, self._decoder.position)
        self._transport.send(_STATUS.pack(b"r", written, durable, durable, now, 0))

    def close(self) -> None:
        self._transport.close()
        self._connection.close()


def _is_loopback(connected: socket.socket) -> bool:
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return ipaddress.ip_address(connected.getpeername()[0].partition("%")[0]).is_loopback


def _quoted_name(name: str) -> str:
    """A publication name inside a list inside a string literal."""
    return ('"' + name.replace('"', '""') + '"').replace("'", "''")
