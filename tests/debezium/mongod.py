"""As much of a MongoDB server as Debezium's connector talks to, over documents of a script.

Not of our environment: it needs `bson` (of pymongo), which `make test-debezium` installs beside
Debezium. It holds what is to be read and the events of the change stream, as the manual shows them,
and leaves out of an update what the stream was not asked for, as a server does. Prints its port.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
https://www.mongodb.com/docs/manual/reference/change-events/
"""

from __future__ import annotations

import socketserver
import struct
import sys
import time
from itertools import count
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
BEGIN_S = int(time.time()) + 3600
"""When the stream begins, after what is read before; the events follow, one a second."""
EXACT = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, document_class=bson.SON, tz_aware=True
)
"""Dates out of Python's reach stay as `DatetimeMS`."""

Document = dict[str, Any]


class Script:
    """`{"documents": {"db.collection": [document, …]}, "events": [event, …]}`, in canonical
    Extended JSON. Their times and tokens are given here."""

    def __init__(self, text: str) -> None:
        said = json_util.loads(
            text,
            json_options=EXACT.with_options(
                datetime_conversion=bson.codec_options.DatetimeConversion.DATETIME_MS
            ),
        )
        self.documents: dict[str, list[Document]] = said["documents"]
        self.events: list[Document] = []
        second = BEGIN_S
        for number, event in enumerate(said["events"]):
            previous = self.events[-1] if self.events else {}
            if "txnNumber" not in event or event["txnNumber"] != previous.get("txnNumber"):
                second += 1  # a transaction commits at one time
            times = {
                "_id": token(second, number),
                "clusterTime": bson.Timestamp(second, 1),
                "wallTime": bson.DatetimeMS(second * 1000 + 250),
            }
            self.events.append(times | event)

    def after(self, stream: Document) -> list[Document]:
        """What a stream of these options is told."""
        begun = stream.get("resumeAfter") or stream.get("startAfter")
        if begun is None:
            return []  # it begins now, and nothing happens any more
        return [_shown(one, stream) for one in self.events if one["_id"]["_data"] > begun["_data"]]


def token(second: int, number: int = 0) -> Document:
    """It holds the event's time, which Debezium reads."""
    return {"_data": f"82{second:08X}000000012B{number:04X}296E1404"}


def _shown(event: Document, stream: Document) -> Document:
    hidden = set()
    if event["operationType"] == "update" and "fullDocument" not in stream:
        hidden.add("fullDocument")
    if "fullDocumentBeforeChange" not in stream:
        hidden.add("fullDocumentBeforeChange")
    return {key: value for key, value in event.items() if key not in hidden}


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    script: Script
    cursors: dict[int, list[Document]]
    numbers = count(1)

    def answer(self, command: Document) -> Document:
        name = next(iter(command))
        found: Document | None = getattr(self, f"_{name.lower()}", lambda _: None)(command)
        if found is None:
            print(f"not known: {name}", file=sys.stderr, flush=True)
            return {"ok": 0.0, "code": 59, "codeName": "CommandNotFound", "errmsg": "not known"}
        now = bson.Timestamp(BEGIN_S, 1)
        nobody = {"hash": b"\0" * 20, "keyId": bson.Int64(0)}
        return {
            **found,
            "ok": 1.0,
            "$clusterTime": {"clusterTime": now, "signature": nobody},
            "operationTime": now,
        }

    def _hello(self, _: Document) -> Document:
        address = f"localhost:{self.server_address[1]}"
        moment = {"ts": bson.Timestamp(BEGIN_S, 1), "t": bson.Int64(1)}
        return {
            "isWritablePrimary": True,
            "ismaster": True,
            "secondary": False,
            "helloOk": True,
            "setName": "rs0",
            "setVersion": 1,
            "hosts": [address],
            "primary": address,
            "me": address,
            "lastWrite": {"opTime": moment, "lastWriteDate": bson.DatetimeMS(BEGIN_S * 1000)},
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": bson.DatetimeMS(BEGIN_S * 1000),
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": False,
        }

    _ismaster = _hello

    def _ping(self, _: Document) -> Document:
        return {}

    _endsessions = _killcursors = _ping

    def _buildinfo(self, _: Document) -> Document:
        return {"version": "7.0.0", "versionArray": [7, 0, 0, 0]}

    def _listdatabases(self, _: Document) -> Document:
        names = {one.partition(".")[0] for one in self.script.documents}
        return {"databases": [{"name": name, "sizeOnDisk": 1, "empty": False} for name in names]}

    def _listcollections(self, command: Document) -> Document:
        database = command["$db"]
        names = [one.split(".", 1) for one in self.script.documents]
        return self._batch(
            f"{database}.$cmd.listCollections",
            [{"name": name, "type": "collection"} for db, name in names if db == database],
        )

    def _find(self, command: Document) -> Document:
        name = f"{command['$db']}.{command['find']}"
        return self._batch(name, self.script.documents.get(name, []))

    def _aggregate(self, command: Document) -> Document:
        first = command["pipeline"][0]
        name = f"{command['$db']}.{command['aggregate']}"
        if "$changeStream" not in first:
            return self._batch(name, [{"n": len(self.script.documents.get(name, []))}])
        number = next(self.numbers)
        self.cursors[number] = self.script.after(first["$changeStream"])
        return self._stream(number, "firstBatch", [])

    def _getmore(self, command: Document) -> Document:
        number = int(command["getMore"])
        waiting = self.cursors.get(number, [])
        self.cursors[number] = []
        return self._stream(number, "nextBatch", waiting)

    def _stream(self, number: int, batch: str, events: list[Document]) -> Document:
        last = events[-1]["_id"] if events else token(BEGIN_S)
        cursor = {"id": bson.Int64(number), "ns": "admin.$cmd.aggregate", batch: events}
        return {"cursor": {**cursor, "postBatchResumeToken": last}}

    def _batch(self, name: str, documents: list[Document]) -> Document:
        return {"cursor": {"id": bson.Int64(0), "ns": name, "firstBatch": documents}}


class Connection(socketserver.StreamRequestHandler):
    server: Server

    def _read(self, size: int) -> bytes:
        try:
            return self.rfile.read(size)
        except ConnectionResetError:
            return b""

    def handle(self) -> None:
        while head := self._read(16):
            length, request, _, code = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            if code == OP_QUERY:
                at = body.index(b"\0", 4) + 9
                answer = self.server.answer(bson.decode(body[at:]))
                said = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(answer)
                reply = OP_REPLY
            else:
                assert (code, body[4]) == (OP_MSG, 0)
                answer = self.server.answer(bson.decode(body[5:], OPTIONS))
                said = struct.pack("<iB", 0, 0) + bson.encode(answer)
                reply = OP_MSG
            self.wfile.write(struct.pack("<iiii", 16 + len(said), 0, request, reply) + said)


OPTIONS = CodecOptions(datetime_conversion=bson.codec_options.DatetimeConversion.DATETIME_MS)

if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Connection) as server:
        server.script = Script(sys.stdin.read())
        server.cursors = {}
        print(server.server_address[1], flush=True)
        server.serve_forever(1)
