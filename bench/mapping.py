"""BENCH=mapping: what mappings, contracts and protection cost, PostgreSQL to PostgreSQL.

Lines from one source into one target server, each with its own slot and database, drain the same
bulk insert one after another, in another order each round; a figure is the median of the rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg

from bench import item, poison, work
from bench.contestants import REPLICATE, TUNED, PostgresTarget, Tailrace, settle
from bench.evaluation import rows_per_s_core
from bench.source import Source
from tailrace.service.localpg import LocalPostgres

ROUNDS = 3
POISON_S = 5.0
POISON_FIRST_ID = 1_000_000_000

LINES = {
    # project: what its pipeline does, what its target does with classes of fields
    "replicated": (REPLICATE, ""),
    "mapped": (item.PIPELINE, ", protect: {personal: pass, secret: pass}"),
    "protected": (item.PIPELINE, ", protect: {personal: {tokenise: bench}, secret: mask}"),
}


def measure(rows: int) -> dict[str, float | int | None]:
    """The figures; each is printed with what it was measured on."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch, ExitStack() as stack:
        os.chmod(scratch, 0o755)
        directory = Path(scratch)
        source_server, target_server = (
            stack.enter_context(LocalPostgres.start(directory / name, settings=TUNED))
            for name in ("source", "target")
        )
        source = stack.enter_context(closing(Source(source_server)))
        rate = rows_per_s_core(source_server, "bench")
        print(f"evaluation  {rate:,} rows/s of one core, 8 expressions, map, where, 10 checks")
        lines = {
            name: stack.enter_context(closing(line(name, source_server, target_server, directory)))
            for name in LINES
        }
        took = drained(source, target_server, lines, rows)
        compare(source_server, lines["mapped"])
        for name in ("mapped", "protected"):
            lines[name].stop()
        poisoned = poison.p99_ratio(
            source_server.url("bench"),
            target_url(lines["replicated"]),
            first_id=POISON_FIRST_ID,
            seconds=POISON_S,
        )
        lines["replicated"].stop()
    mapped, protected = (
        [a / b for a, b in zip(took[plain], took[other], strict=True)]
        for plain, other in (("replicated", "mapped"), ("mapped", "protected"))
    )
    print(f"mapped      {_spread(mapped)} × as fast as replicated as it is, {rows:,} rows a round")
    print(f"protected   {_spread(protected)} × as fast as mapped, one field masked, one tokenised")
    return {
        "rows": rows,
        "mapped_vs_replicate": round(statistics.median(mapped), 3),
        "mapping_rows_per_s_core": rate,
        "poison_p99_ratio": round(poisoned, 3),
        "protect_vs_plain": round(statistics.median(protected), 3),
    }


def line(name: str, source: LocalPostgres, target: LocalPostgres, directory: Path) -> Tailrace:
    pipeline, protect = LINES[name]
    slots = f"slot_name = 'tailrace_{name}_erp' and active"
    ours = Tailrace(
        PostgresTarget(target, name, protect),
        directory / name,
        f'{{type: postgres, url: "{source.url("bench")}", tables: [bench.*], publication: bench}}',
        lambda: source.execute(
            "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where "
            + slots
        ),
        pipeline,
        name,
    )
    if pipeline is item.PIPELINE:
        keys = item.write(directory / name)
        with (directory / name / "tailrace.yml").open("a") as file:
            file.write(keys)
    return ours


def drained(
    source: Source, target: LocalPostgres, lines: dict[str, Tailrace], rows: int
) -> dict[str, list[float]]:
    """Seconds that each line took, by round. The first round, of a tenth, is not counted."""
    for ours in lines.values():
        ours.start()
        ours.wait(source.do("select 1"))
    took: dict[str, list[float]] = {name: [] for name in lines}
    names = list(lines)
    first = 1
    for number in range(ROUNDS + 1):
        count = rows if number else max(rows // 10, 1)
        for ours in lines.values():
            ours.hold()
        done = source.do(work.insert(first, count))
        first += count
        for name in names:
            settle(target)
            seconds = lines[name].drain(done)
            if number:
                took[name].append(seconds)
                print(f"round {number}     {name:12}{seconds:8.2f} s", flush=True)
        names = names[1:] + names[:1]
    return took


def compare(source: LocalPostgres, mapped: Tailrace) -> None:
    """A fast copy that is wrong is worth nothing: the target must hold what plain SQL makes."""
    found = []
    for url, query in ((source.url("bench"), item.SOURCE), (target_url(mapped), item.TARGET)):
        with psycopg.connect(url, options="-c timezone=UTC") as connection:
            found.append(connection.execute(item.checksum(query).encode()).fetchone())
    if found[0] != found[1]:
        sys.exit(f"the entities differ: plain SQL gives {found[0]}, tailrace {found[1]}")


def target_url(ours: Tailrace) -> str:
    assert isinstance(ours.target, PostgresTarget)
    return ours.target.url


def _spread(ratios: list[float]) -> str:
    return f"{min(ratios):.2f} – {max(ratios):.2f}"
