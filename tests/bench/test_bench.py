"""The bench on small sizes: it measures every figure, and notices a copy that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as bench
from bench import evaluation, mapping, mariadb, poison
from tailrace.service.localmaria import binary

ALWAYS = {
    "insert_vs_native",
    "insert_vs_limit",
    "update_vs_native",
    "small_tx_vs_native",
    "latency_p50_ms",
    "latency_p99_ms",
    "cpu_us_per_row",
}


def test_a_small_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_ROWS", "3000")
    monkeypatch.setenv("BENCH_RSS", "1")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench, "SMALL_TRANSACTIONS", 300)
    monkeypatch.setattr(bench, "LATENCY_S", 1.0)
    bench.main()
    *_, last = capsys.readouterr().out.splitlines()
    figures = json.loads(last)
    assert figures.keys() == {"rows", "rss_mb_1m", "rss_mb_5m", *ALWAYS}
    assert figures["rows"] == 3000
    assert all(figures[key] > 0 for key in ALWAYS), figures
    assert 50 < figures["rss_mb_1m"] < 2000
    (kept,) = (tmp_path / "results").iterdir()
    assert json.loads(kept.read_text()) == figures


def test_copies_that_differ_end_the_bench(database18: Any, second_database18: Any) -> None:
    for database in (database18, second_database18):
        database.execute(bench.work.CREATE)
        database.execute(bench.work.insert(1, 100))
    bench.compare(database18.url, second_database18.url)
    second_database18.execute("update bench.wide set ratio = ratio + 1e-9 where id = 50")
    with pytest.raises(SystemExit, match="the copies differ"):
        bench.compare(database18.url, second_database18.url)


@pytest.mark.skipif(binary() is None, reason="MariaDB is not installed")
def test_a_small_bench_of_mariadb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rival, which only the bench installs."""
    monkeypatch.setattr(mariadb, "rival_rows_per_s", lambda *_: 1000.0)
    figures = mariadb.measure(2000)
    assert figures.pop("rss_mb_5m") is None
    assert set(figures) == {
        "rows",
        "capture_vs_mysql_replication",
        "capture_rows_per_cpu_s",
        "capture_updates_vs_mysql_replication",
        "capture_updates_per_cpu_s",
        "journal_bytes_per_insert",
        "journal_bytes_per_update",
        "mariadb_to_pg_vs_pg_to_pg",
        "mariadb_to_mariadb_vs_native",
    }
    assert all(figure is not None and figure > 0 for figure in figures.values()), figures


def test_a_small_bench_of_mappings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mapping, "ROUNDS", 1)
    monkeypatch.setattr(mapping, "POISON_S", 1.0)
    monkeypatch.setattr(poison, "ROUNDS", 1)
    monkeypatch.setattr(evaluation, "ROUNDS", 2)
    figures = mapping.measure(3000)
    assert set(figures) == {
        "rows",
        "mapped_vs_replicate",
        "mapping_rows_per_s_core",
        "poison_p99_ratio",
        "protect_vs_plain",
    }
    assert all(figure is not None and figure > 0 for figure in figures.values()), figures
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("evaluation", "mapped", "protected", "poison"))
