"""Files of a project as text: bounded in size, UTF-8, and each error with its place."""

from __future__ import annotations

from pathlib import Path

from tailrace.errors import ConfigError

BYTES_MAX = 1 << 20


def contents(path: Path, shown: str) -> bytes:
    """At most one byte more than BYTES_MAX. `shown` is how errors name it. Errors: ConfigError."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError("is not a file", where={"file": shown})
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            where={"file": shown},
            fix="see that it exists and may be read",
        ) from None


def decoded(data: bytes, shown: str) -> str:
    """Without a byte order mark. Errors: ConfigError with file, line and column."""
    if len(data) > BYTES_MAX:
        raise ConfigError(
            f"is larger than {BYTES_MAX >> 20} MiB",
            where={"file": shown, "line": 1, "column": 1},
            fix="split it",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        where = {"line": before.count(b"\n") + 1, "column": len(before.rpartition(b"\n")[2]) + 1}
        raise ConfigError(
            "is not UTF-8", where={"file": shown, **where}, fix="save the file as UTF-8"
        ) from None
