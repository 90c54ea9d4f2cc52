"""`tailrace exceptions …`: changes that could not be applied, and what people do about them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import click

from tailrace.errors import TailraceError
from tailrace.service.exception_rows import before_and_after, edited
from tailrace.service.exceptions import Office, clock, office, operator
from tailrace.state.exceptions.model import ExceptionId, Request

_pipeline = click.option("--pipeline", metavar="NAME", help="Needed where there are several.")
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group()
def command() -> None:
    """Look at changes that could not be applied; mend, replay or discard them.

    Each is named by an ID, as `list` shows it. What is asked for is done by the delivery that runs;
    where none runs, by the next (`tailrace deliver PIPELINE --once`).
    """


@command.command("list")
@click.option("--cause", metavar="CAUSE", help="Only these.")
@_pipeline
@_output
@click.pass_obj
def list_(directory: Path, cause: str | None, pipeline: str | None, output: str) -> None:
    """What is parked, by cause, and how much waits behind it. No values."""
    with office(directory, pipeline) as desk:
        entries = [one for one in desk.store.entries() if cause in (None, one["cause_key"])]
    parked = [one for one in entries if one["state"] == "parked"]
    causes = Counter(one["cause_key"] for one in parked)
    waiting = len(entries) - len(parked)
    if output == "json":
        shown = {"causes": causes, "waiting": waiting, "exceptions": [*map(_plain, entries)]}
        click.echo(json.dumps(shown, indent=2))
        return
    for key, count in causes.most_common():
        first = next(one["cause"] for one in parked if one["cause_key"] == key)
        click.echo(f"{count} × {key}\n    {first['problem']}\n    → {first['fix']}")
        for one in parked:
            if one["cause_key"] == key:
                asked = f"  {one['asked']} asked" if one["asked"] else ""
                click.echo(
                    f"  {one['id']:16} {one['table']}  {_WORDS[one['operation']]}"
                    f"  {one['position']}  attempts {one['attempts']}{asked}"
                )
    click.echo(f"{len(parked)} parked, {waiting} waiting behind them")


@command.command()
@click.argument("id")
@click.option("--reveal", is_flag=True, help="Show personal and secret values, too.")
@_pipeline
@_output
@click.pass_obj
def show(directory: Path, id: str, reveal: bool, pipeline: str | None, output: str) -> None:
    """All that is known of one change, with its values, and who did what to it."""
    with office(directory, pipeline) as desk:
        number = desk.id(id)
        entry = desk.store.entry(number)
        assert entry is not None
        found = _plain(entry)
        if found["state"] in ("parked", "waiting"):
            held = desk.held(number)
            found["before"], found["after"] = before_and_after(desk, held, held.row, reveal=reveal)
            if held.edited is not None:
                found["edited"] = before_and_after(desk, held, held.edited, reveal=reveal)[1]
        found["audit"] = [
            {**one, "at": clock(one.pop("at_us"))} for one in desk.store.audit(number)
        ]
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        _show(found)


@command.command()
@click.argument("id")
@click.option("--set", "given", multiple=True, metavar="COLUMN=VALUE", help="May be repeated.")
@click.option("--null", "nulls", multiple=True, metavar="COLUMN", help="Set to NULL.")
@_pipeline
@_output
@click.pass_obj
def edit(
    directory: Path,
    id: str,
    given: tuple[str, ...],
    nulls: tuple[str, ...],
    pipeline: str | None,
    output: str,
) -> None:
    """Change values of the source's row, before it is replayed. The key stays."""
    values: dict[str, str | None] = dict.fromkeys(nulls)
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise click.BadParameter("expected COLUMN=VALUE", param_hint="--set")
        values[name] = value
    if not values:
        raise click.UsageError("say what to change: --set COLUMN=VALUE or --null COLUMN")
    with office(directory, pipeline) as desk:
        number = desk.id(id)
        row = edited(desk, desk.held(number), values)
        if not desk.store.edit(number, row, operator(), ", ".join(sorted(values))):
            raise TailraceError(
                "only a parked change can be edited, and not while something is asked for it",
                where={"id": id},
                fix="tailrace exceptions show says what it waits for",
            )
    _say(output, {"id": id, "edited": sorted(values)}, f"{id}: edited; replay it now")


@command.command()
@click.argument("id", required=False)
@click.option("--cause", metavar="CAUSE", help="All of this cause, as `list` names it.")
@_pipeline
@_output
@click.pass_obj
def replay(
    directory: Path, id: str | None, cause: str | None, pipeline: str | None, output: str
) -> None:
    """Apply ID, or all of a cause, and what waits behind, through the mappings of today.

    Exit code 1 where some could not be applied, and are parked again.
    """
    with office(directory, pipeline) as desk:
        desk.must_have_todays_mappings()
        _ask(desk, "replay", id, cause, "", output)


@command.command()
@click.argument("id", required=False)
@click.option("--cause", metavar="CAUSE", help="All of this cause, as `list` names it.")
@click.option("--reason", required=True, help="Why; it is kept.")
@_pipeline
@_output
@click.pass_obj
def discard(
    directory: Path,
    id: str | None,
    cause: str | None,
    reason: str,
    pipeline: str | None,
    output: str,
) -> None:
    """Give ID up, or all of a cause. The target keeps what it has; what waits behind goes on."""
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    with office(directory, pipeline) as desk:
        _ask(desk, "discard", id, cause, reason, output)


def _ask(
    desk: Office,
    action: Literal["replay", "discard"],
    id: str | None,
    cause: str | None,
    reason: str,
    output: str,
) -> None:
    ids = _chosen(desk, id, cause)
    wanted = [Request(one, action, operator(), reason) for one in ids]
    taken = [request.id for request in desk.store.ask(wanted)]
    if len(taken) < len(ids) and id is not None:
        raise TailraceError(
            "only a parked change can be asked for, and once",
            where={"id": id, "state": _state(desk, ids[0])},
            fix="what waits goes with the change that it waits behind",
        )
    done = desk.wait_for(taken)
    states = {str(one): _state(desk, one) for one in taken}
    counts = Counter(states.values())
    if done:
        text = ", ".join(f"{count} {state}" for state, count in counts.items()) or "nothing to do"
    elif (report := desk.delivery) is not None:
        text = f"asked; delivery is {report.state} and does it when it can: tailrace status"
    else:
        text = f"asked; the next delivery does it: tailrace deliver {desk.pipeline} --once"
    if done and counts["parked"]:
        text += " again: tailrace exceptions show ID says why"
    _say(output, {"done": done, "exceptions": states}, text)
    if done and counts["parked"] + counts["waiting"]:
        raise SystemExit(1)


def _chosen(desk: Office, id: str | None, cause: str | None) -> list[ExceptionId]:
    if (id is None) == (cause is None):
        raise click.UsageError("say an ID, or --cause")
    if id is not None:
        return [desk.id(id)]
    found = [
        ExceptionId.parse(one["id"])
        for one in desk.store.entries()
        if one["cause_key"] == cause and one["state"] == "parked"
    ]
    if not found:
        raise TailraceError(
            "nothing is parked for this cause", fix="tailrace exceptions list names the causes"
        )
    return found


def _state(desk: Office, id: ExceptionId) -> str:
    entry = desk.store.entry(id)
    return "closed" if entry is None else str(entry["state"])


_WORDS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot"}


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    times = {name: entry[f"{name}_us"] for name in ("committed", "held", "tried")}
    rest = {name: value for name, value in entry.items() if not name.endswith("_us")}
    return {**rest, **{name: clock(us) for name, us in times.items()}}


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{found['id']}  {found['state']}  {found['table']}  {_WORDS[found['operation']]}")
    click.echo(f"  position {found['position']}, ordinal {found['ordinal']}, {found['committed']}")
    click.echo(f"  for {', '.join(found['targets'])}; attempts {found['attempts']}")
    if found["mapping_version"]:
        click.echo(f"  mappings of version {found['mapping_version']}")
    if found["cause"] is not None:
        click.echo(f"  {found['cause_key']}: {found['cause']['problem']}")
        click.echo(f"  → {found['cause']['fix']}")
    for name in ("before", "after", "edited"):
        for column, value in (found.get(name) or {}).items():
            click.echo(f"  {name:7} {column} = {'NULL' if value is None else value}")
    for one in found["audit"]:
        reason = f": {one['reason']}" if one["reason"] else ""
        click.echo(f"  {one['at']}  {one['who']}  {one['action']}{reason}")


def _say(output: str, shown: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(shown, indent=2) if output == "json" else text)
