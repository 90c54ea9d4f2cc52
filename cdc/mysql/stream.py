"""The replication stream of a server: packets, events.

PyMySQL opens the connection and logs in, `cdc.mysql.dump` asks for the log; then the socket is read
here in large pieces.

    packet   length:u24 number:u8 payload       one of 0xffffff bytes goes on in the next
    payload  0 event | 0xff code:u16 # state:5 message | 0xfe …
"""

from __future__ import annotations

import select
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cdc.changes import ChangeSet
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.session import Connection, translated
from cdc.protocol import START_OVER
from tailrace.errors import ContinuityError, SourceUnavailable
from tailrace.failpoints import failpoint

BUFFER_BYTES = 1 << 20
PACKET_MAX = 0xFFFFFF
SLICE_S = 1.0
"""After which its caller is heard, however much of what nobody captures is still to be read."""
SILENT_S = 60.0
"""Twelve heartbeats missed: the server, or the way to it, is gone."""
_GONE = 1236  # ER_MASTER_FATAL_ERROR_READING_BINLOG


class BinlogStream:
    """Implements `cdc.protocol.Stream`. Errors when opened: SourceUnavailable."""

    def __init__(
        self, connection: Connection, decoder: BinlogDecoder, ask: Callable[[Connection], None]
    ) -> None:
        """`ask` asks for the log."""
        self._connection = connection
        self._decoder = decoder
        with translated("asking for the log"):
            ask(connection)
        self._socket: Any = connection._sock  # type: ignore[attr-defined]
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLIN)
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._stop = 0
        self._held: list[bytes] = []
        self._silent_s = 0.0

    @property
    def position(self) -> str:
        return self._decoder.position

    @property
    def facts(self) -> Mapping[str, str]:
        return self._decoder.facts

    @property
    def at_rest(self) -> bool:
        return self._decoder.rows == 0 and self._decoder.complete

    @property
    def coordinates(self) -> tuple[str, int]:
        """File and position behind the event read last."""
        return self._decoder.coordinates

    def reply_wanted(self) -> bool:
        return False

    def acknowledge(self, position: str) -> None:
        """The server does not ask how far we are, and keeps its log as long as it likes."""

    def changes(self, timeout_s: float) -> Iterator[ChangeSet]:
        if not self._waits(timeout_s):
            return
        until = time.monotonic() + SLICE_S
        while self._receive():
            failpoint("capture.read")
            for packet in self._events():
                yield from self._decoder.sets(packet)
            if time.monotonic() >= until:
                break
        if self._decoder.complete and (ready := self._decoder.take()):
            yield ready

    def _waits(self, timeout_s: float) -> bool:
        """Whether something has arrived. Errors: SourceUnavailable after a long silence."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        if self._poll.poll(max(0, int(timeout_s * 1000))):
            self._silent_s = 0.0
            return True
        self._silent_s += timeout_s
        if self._silent_s > SILENT_S:
            raise SourceUnavailable(f"the source has been silent for {SILENT_S:.0f} s")
        return False

    def _receive(self) -> int:
        self._make_room()
        try:
            received: int = self._socket.recv_into(memoryview(self._buffer)[self._stop :])
        except (BlockingIOError, ssl.SSLWantReadError):
            return 0
        except (OSError, ssl.SSLError) as error:
            raise SourceUnavailable(f"the source's connection broke: {error.strerror}") from error
        if received == 0:
            raise SourceUnavailable("the source closed the replication connection")
        self._stop += received
        return received

    def _events(self) -> Iterator[memoryview]:
        """Events of the packets that are whole. Each is valid until the next is asked for."""
        view = memoryview(self._buffer)
        while self._stop - self._start >= 4:
            size = int.from_bytes(view[self._start : self._start + 3], "little")
            begin, end = self._start + 4, self._start + 4 + size
            if end > self._stop:
                break
            self._start = end
            if size == PACKET_MAX:
                self._held.append(bytes(view[begin:end]))
            elif self._held:
                whole = b"".join([*self._held, bytes(view[begin:end])])
                self._held = []
                yield self._event(memoryview(whole))
            else:
                yield self._event(view[begin:end])

    def _event(self, payload: memoryview) -> memoryview:
        if not payload:
            raise SourceUnavailable("the source sent an empty packet")
        if payload[0] == 0:
            return payload[1:]
        if payload[0] == 0xFF:
            self._raise(payload)
        raise SourceUnavailable("the source ended the stream")

    def _raise(self, payload: memoryview) -> None:
        (code,) = struct.unpack_from("<H", payload, 1)
        text = bytes(payload[3:]).decode("utf-8", "replace")
        if text.startswith("#"):
            text = text[6:]
        if code == _GONE and "shutdown" not in text.lower() and "server_id" not in text:
            raise ContinuityError(
                f"the source cannot serve its log from our position: {text}",
                where={"position": self._decoder.position, "errno": code},
                fix=START_OVER,
            )
        raise SourceUnavailable(f"the source ended the stream: {text}", where={"errno": code})

    def _make_room(self) -> None:
        held = self._stop - self._start
        if held == 0:
            self._start = self._stop = 0
            return
        need = 4
        if held >= 4:
            need = 4 + int.from_bytes(self._buffer[self._start : self._start + 3], "little")
        if need > len(self._buffer):
            larger = bytearray(need + 65536)
            larger[:held] = self._buffer[self._start : self._stop]
            self._buffer = larger
        elif self._start and len(self._buffer) - self._start < max(need, 65536):
            self._buffer[:held] = self._buffer[self._start : self._stop]
        else:
            return
        self._start, self._stop = 0, held

    def close(self) -> None:
        # Not `close`, which would say good-bye on a connection that is not at rest.
        self._connection._force_close()  # type: ignore[attr-defined]
