"""`kspace study`: what was received, series by series, and what of it an archive was seen to hold."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.app.rawfile import printable
from transfer.catalog import studies

Row = dict[str, Any]
_PIPE_WIDTH = 1000
"""In a file or a pipe no line is folded."""
_NOWHERE = ("nowhere", "unrouted", "No route fits. Say with `kspace assign` where it goes, or add a [[route]].")


def study(
    name: Annotated[str | None, typer.Argument(metavar="STUDY", help="A study's number (t3); without it: all.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, those that grew last.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the studies that were received, or one of them.

    Of each series: how many images were expected, how many came, how many every archive was seen to hold. And where
    the study goes, how it stands there, and why.
    """
    box = open_box(config)
    with box.database.read() as connection:
        found = studies.study(connection, name) if name else studies.studies(connection, limit=limit)
    now = box.clock.now()
    box.close()
    if as_json:
        print_json(found)
    elif isinstance(found, list):
        _list(found, now=now)
    else:
        _show(found, now=now)


def _list(found: list[Row], *, now: datetime) -> None:
    table = Table("Study", "Date", "Series", "Images", "Short", "Unwanted", "Goes to", "State", "Why", box=SIMPLE_HEAD)
    for one in found:
        what = (one["study"], one["date"] or "", len(one["series"]), one["received"])
        told = (*what, len(one["short"]), _size(one["unwanted"], now))
        for number, sent in enumerate(one["deliveries"] or [None]):
            where = (_where(sent), sent["state"], sent["reason"] or "") if sent else _without(one)
            table.add_row(*(str(cell) if number == 0 else "" for cell in told), *map(Text, where))
    if found:
        _print(table)
    else:
        console.print("No study was received yet.")


def _without(one: Row) -> tuple[str, str, str]:
    names = ", ".join(f"{alone['destination']}/{alone['project']}" for alone in one["raw_only"])
    return (names, "raw only", "This destination takes raw data alone.") if names else _NOWHERE


def _show(one: Row, *, now: datetime) -> None:
    said = f"study {one['study']} of {one['date'] or 'no date'}, sent to {one['called_ae']} by {one['calling_ae']}"
    _say(f"{said}; first image {one['first_arrival_at']:%Y-%m-%d %H:%M:%S}, last {one['last_arrival_at']:%H:%M:%S}")
    for sent in one["deliveries"]:
        by = f", assigned by {sent['assigned_by']}" if sent["assigned_by"] else ""
        lines = [f"d{sent['id']} to {_where(sent)}{by}: {sent['state']} since {sent['since_at']:%Y-%m-%d %H:%M}"]
        lines += [sent[key] for key in ("reason", "place") if sent[key]]
        lines += [f"was sent to {place} before; its owner may remove it there" for place in sent["former_places"] or ()]
        _say("\n    ".join(lines))
    for alone in one["raw_only"]:
        _say(f"raw data alone to {alone['destination']}/{alone['project']}")
    if not one["deliveries"] and not one["raw_only"]:
        _say(": ".join(_NOWHERE[1:]))
    if one["unwanted"]["images"]:
        left = f"{one['unwanted']['images']} images that no archive takes lie here: {_size(one['unwanted'], now)}"
        _say(f"{left}. `kspace free {one['study']} --reason WHY` deletes them.")
    table = Table("Series", "Protocol", "Expected", "Came", "Archived", "Note", box=SIMPLE_HEAD)
    for series in one["series"]:
        table.add_row(
            "-" if series["number"] is None else str(series["number"]),
            Text(printable(series["description"] or series["protocol"] or "-")),
            str(series["expected"] or "-"),
            str(series["received"]),
            ", ".join(map(str, series["archived"].values())) or "0",
            Text("; ".join(_notes(series))),
        )
    _print(table)
    for event in one["events"]:
        name = f"{'d' if event['subject'] == 'delivery' else 't'}{event['subject_id']}"
        told = f"{event['at']:%Y-%m-%d %H:%M:%S}  {name} {event['verb']} by {event['actor']}"
        _say(f"{told}  {event['detail'] or ''}")


def _print(table: Table) -> None:
    out = console if console.is_terminal else Console(width=_PIPE_WIDTH)
    out.print(table)


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _notes(series: Row) -> list[str]:
    notes = [f"{series['short']} short, by {series['why']}"] if series["short"] else []
    notes += [f"{n} refused by {name}" for name, n in series["refused"].items() if n]
    notes += [f"{n} not shown by {name}, as a person knows" for name, n in series["lacking"].items() if n]
    notes += [
        f"{n} left out on the way to {name} by its route's filters" for name, n in series["filtered"].items() if n
    ]
    notes += [f"{series['other_bytes']} came twice with other bytes"] if series["other_bytes"] else []
    notes += [f"{series['freed']} freed here"] if series["freed"] else []
    return notes


def _size(unwanted: Row, now: datetime) -> str:
    return f"{unwanted['bytes'] / 1e9:.2f} GB, {(now - unwanted['since']).days} d" if unwanted["images"] else ""


def _where(sent: Row) -> str:
    return f"{sent['destination']}/{sent['project']}/{sent['subject']}/{sent['session']}"
