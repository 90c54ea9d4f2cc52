"""A disk with no room left under a file target: delivery says so, loses nothing, and goes on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Database
from tests.line import Line, do, wait_until
from tests.service.test_file_targets import ask, name

ROOM_BYTES = 1 << 20


class Disk:
    """A small file system of its own where we may mount one. Else the delivery process may write
    no larger files: the engine meets another error at the same place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)]
        self._is_mounted = not os.geteuid() and not subprocess.run(mount, check=False).returncode
        self._filler = folder / "filler"
        self._limited = 0

    def fill(self, line: Line) -> None:
        """But for ROOM_BYTES."""
        if self._is_mounted:
            free = os.statvfs(self.folder)
            self._filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize - ROOM_BYTES))
            return
        self._limited = line.report("deliver")["pid"]
        sizes = [one.stat().st_size for one in self.folder.iterdir()]
        self._limit(max(sizes) + ROOM_BYTES)

    def free(self) -> None:
        if self._is_mounted:
            self._filler.unlink()
        else:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        _, hard = resource.prlimit(self._limited, resource.RLIMIT_FSIZE)
        resource.prlimit(self._limited, resource.RLIMIT_FSIZE, (size, hard))

    def end(self) -> None:
        if self._is_mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.end()


def waits(line: Line) -> dict[str, Any]:
    """For what delivery says it waits."""
    found: list[dict[str, Any]] = []

    def says() -> bool:
        report = line.report("deliver")  # the next moment it tries again
        found.append(report["error"] or {})
        return report["state"] == "retrying"

    wait_until(says, "delivery to say that it waits")
    return found[-1]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_full_disk_is_waited_for(
    kind: str, disk: Disk, database18: Database, tmp_path: Path
) -> None:
    source, target = database18.url, f"{kind}:{disk.folder / 'hub.file'}"
    do(source, "create schema shop", "create table shop.note (id int primary key, text text)")
    many = "insert into shop.note select i, repeat(md5(i::text), 60) from generate_series({}, {}) i"
    count = f"select count(*), max(id) from {name(target, 'note')}"
    with Line(tmp_path / "project", source, target) as line:
        line.streams()
        do(source, many.format(1, 10))
        wait_until(lambda: ask(target, count) == [(10, 10)], "the first rows")
        disk.fill(line)
        do(source, many.format(11, 3000))
        error = waits(line)
        assert error["code"] == "TR-501"
        assert error["where"]["file"] == str(disk.folder / "hub.file")
        assert "disk" in error["fix"] or "limit" in error["fix"]
        with suppress(IndexError):  # nobody reads a file of DuckDB while it is tried
            assert ask(target, count)[0] == (10, 10)
        do(source, "update shop.note set text = 'x' where id = 1")
        disk.free()
        wait_until(lambda: ask(target, count) == [(3000, 3000)], "all rows")
        lengths = f"select sum(length(text)) from {name(target, 'note')}"
        wait_until(lambda: ask(target, lengths) == [(2999 * 1920 + 1,)], "the last change")
        assert line.desk()["exceptions"] == []
