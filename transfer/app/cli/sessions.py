"""`kspace sessions` and `kspace session LABEL`: is every scan of a session safe, and where is it?"""

import csv
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kspace.errors import BadInput
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.app.rawfile import clock_time, printable
from transfer.catalog import ledger
from transfer.catalog.matching import BY_A_PERSON
from transfer.standing import Standing
from transfer.states import DeliveryState

Row = dict[str, Any]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for tables elsewhere.")]
_COLOURS = {
    Standing.LOST: "bold red",
    Standing.NEEDS_A_PERSON: "red",
    Standing.AT_RISK: "yellow",
    Standing.ON_ITS_WAY: "cyan",
    Standing.AS_EXPORTED: "green",
    Standing.COMPLETE: "green",
}
_WIDE = 140
_WIDE_ONLY = {"date", "start", "size", "time left", "needs", "proved by"}
_IF_ANY = {"linked by hand"}
_WORDS = {"session", "protocol", "needs", "linked by hand", "proved by", "why", "raw files"}
_OF_RAW = ("raw", "MID", "start", "size", "linked by hand", "time left", "needs", "proved by")
_PIPE_WIDTH = 1000


def sessions(
    config: ConfigPath = DEFAULT_CONFIG,
    project: Annotated[str | None, typer.Option(help="Only sessions of this project.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most, those that grew last.")] = 50,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List sessions with their badge.

    Complete, on its way, at risk, needs a person or lost, with how many raw files stand how.
    """
    _only_one(as_json, as_csv)
    relay, now = open_box(config), datetime.now(UTC)
    with relay.database.read() as connection:
        found = ledger.sessions(connection, now=now, project=project, limit=limit)
        homeless = ledger.homeless(connection, now=now)
    relay.close()
    if as_json:
        print_json({"sessions": found, "without a session": homeless})
        return
    rows = [_listed(one) for one in found]
    if as_csv:
        _csv(rows)
        return
    _print(rows)
    if homeless["raw"]:
        said = _counted(homeless["counts"])
        console.print(f"{len(homeless['raw']):,} raw files have no session yet: {said}.", highlight=False)
    if homeless["kept"]:
        kept = f"{homeless['kept']:,} of them lie in the spool, {homeless['kept_bytes'] / 1e9:.3f} GB"
        console.print(f"{kept}, the oldest since {homeless['oldest_at']:%Y-%m-%d %H:%M} UTC.", highlight=False)


def session(
    label: Annotated[str, typer.Argument(help="A session's label, or its id in the archive.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show one session: every measurement of the scanner, every series received, and what the archives proved."""
    _only_one(as_json, as_csv)
    relay = open_box(config)
    with relay.database.read() as connection:
        found = ledger.session(connection, label, now=datetime.now(UTC))
    relay.close()
    if as_json:
        print_json(found)
        return
    pages = [[_measured(raw) for raw in one["measurements"]] + list(_without_raw(one)) for one in found]
    if as_csv:
        _csv([row for rows in pages for row in rows])
        return
    for one, rows in zip(found, pages, strict=True):
        for sent in one["sessions"]:
            where = f"{sent['destination']}/{sent['project']}/{sent['session']}"
            console.print(f"{where}: images {sent['state']}. {sent['reason'] or ''}", highlight=False, markup=False)
        console.print(_badge(one["badge"]), highlight=False)
        _print(rows)
        for said in _left_behind(one["measurements"]):
            console.print(said, highlight=False, markup=False, soft_wrap=True)


def _listed(one: Row) -> dict[str, Any]:
    sent = one["sessions"]
    at_risk = [raw for raw in one["raw"] if raw["left_s"] is not None and raw["standing"] is not Standing.NOT_WANTED]
    return {
        "session": ", ".join(dict.fromkeys(s["session"] for s in sent)) or "no route yet",
        "project": ", ".join(dict.fromkeys(s["project"] for s in sent)),
        "date": one["date"] or "",
        "badge": one["badge"],
        "series": one["series_received"],
        "images": one["instances_received"],
        "raw files": _counted(one["counts"]) or "none seen",
        "time left": min(at_risk, key=lambda raw: raw["left_s"])["time_left"] if at_risk else "",
    }


def _measured(raw: Row) -> dict[str, Any]:
    proved = [f"{d['destination']} {d['verified_at']:%Y-%m-%d %H:%M}" for d in raw["deliveries"] if d["verified_at"]]
    why = (
        raw["doubt"]
        or _lacks(raw["needs"])
        or next((d["reason"] for d in _under_way(raw) if d["reason"]), None)
        or (f"A person holds it: {raw['reason']}" if raw["held_code"] == BY_A_PERSON else raw["reason"])
    )
    return {
        "raw": raw["id"],
        "MID": raw["mid"],
        "protocol": printable(raw["protocol"] or ""),
        "start": clock_time(raw["first_tick"]).partition(".")[0] if raw["first_tick"] is not None else "",
        "size": raw["size"],
        "scan": raw["series"],
        "linked by hand": f"{raw['linked_by']} {raw['linked_at']:%Y-%m-%d %H:%M}" if raw["linked_by"] else "",
        "badge": raw["standing"],
        "time left": raw["time_left"] or "",
        "needs": _needs(raw["needs"]),
        "proved by": ", ".join(proved),
        "why": why or "",
    }


def _left_behind(measurements: list[Row]) -> Iterable[str]:
    for raw in measurements:
        for copy in raw["former_copies"]:
            yield f"Raw {raw['id']}: {old_copy(copy)} ({copy['destination']})."


def old_copy(copy: Row) -> str:
    """Return in words what becomes of a copy that lies where its file belongs no more."""
    if copy["is_watched"]:
        return f"old copy at {copy['place']}, watched until the new place is verified"
    return f"old copy at {copy['place']}, no longer watched; its owner may remove it"


def _under_way(raw: Row) -> list[Row]:
    return [d for d in raw["deliveries"] if not d["verified_at"] and d["state"] != DeliveryState.WITHDRAWN]


def _needs(needs: str | list[Row]) -> str:
    """Return where what the reconstruction needs is: in words, and for files of their own which capture has it."""
    if isinstance(needs, str):
        return needs
    return ", ".join(f"MID {one['mid']} {_has(one)}" for one in needs)


def _lacks(needs: str | list[Row]) -> str:
    """Return which of what a rule wants with the measurement is not there, in a sentence; empty if all is."""
    lacking = [] if isinstance(needs, str) else [n for n in needs if n["is_wanted"] and n["lacks"]]
    said = ", ".join(f"MID {one['mid']} ({_has(one)})" for one in lacking)
    return f"Its reconstruction needs {said}." if said else ""


def _has(one: Row) -> str:
    return one["lacks"] or f"({one['capture']})"


def _without_raw(one: Row) -> Iterable[dict[str, Any]]:
    joined = {uid for raw in one["measurements"] for uid in raw["all_series"]}
    for series in one["series"]:
        if series["series_uid"] not in joined:
            count = series["instances"]
            is_there = series["series_uid"] not in one["not_exported"]
            said = f"{count} image{'' if count == 1 else 's'}, {'no raw file joined' if is_there else 'not exported'}"
            name = printable(series["protocol"] or series["description"] or "")
            yield dict.fromkeys(_OF_RAW, "") | {
                "protocol": name,
                "scan": series["number"],
                "badge": one["images"],
                "why": said,
            }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {standing}" for standing, number in counts.items())


def _badge(standing: Standing) -> Text:
    return Text(str(standing), style=_COLOURS.get(standing, ""))


def _print(rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.print("Nothing yet.")
        return
    # In a file or a pipe no line is folded.
    out = console if console.is_terminal else Console(width=_PIPE_WIDTH)
    empty = {name for name in _IF_ANY if not any(row.get(name) for row in rows)}
    columns = [name for name in rows[0] if name not in empty and (out.width >= _WIDE or name not in _WIDE_ONLY)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=name not in _WORDS, overflow="fold")
    for row in rows:
        table.add_row(*(_badge(row[name]) if name == "badge" else Text(_said(row[name])) for name in columns))
    out.print(table)


def _said(value: Any) -> str:  # noqa: ANN401 -- a cell of any column
    return "" if value is None else f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _csv(rows: list[dict[str, Any]]) -> None:
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _only_one(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise BadInput("Choose one of --json and --csv.")
