"""`kspace status`: every raw file, where it is, and what needs a person."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from transfer.app.box_report import pool_reports
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.app.probing import standing
from transfer.catalog import lists
from transfer.catalog.notices import topic_of

_OF_A_TOPIC = 5


def status(
    config: ConfigPath = DEFAULT_CONFIG,
    state: Annotated[str | None, typer.Option(help="Only captures in this state, such as held.")] = None,
    limit: Annotated[int, typer.Option(help="How many captures at most, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show open alerts, counts, and the newest captures.

    Each capture with its state and the reason for it.
    """
    box = open_box(config)
    with box.database.read() as connection:
        counts = lists.counts(connection)
        alerts = lists.alerts(connection)
        captures = lists.captures(connection, state=state, limit=limit)
    known = {d["name"]: standing(box, d["name"]) for d in box.config.destination}
    careful = {name: said for name, (is_known, said) in known.items() if not is_known}
    reports = pool_reports(box)
    waiting = {name: later.reason for name, manners in box.manners().items() if (later := manners.waits())}
    box.close()
    if as_json:
        pools = [asdict(report) for report in reports]
        boxed = {"pools": pools, "unprobed": careful, "waiting_scanners": waiting}
        print_json({"counts": counts, "alerts": alerts, **boxed, "captures": captures})
        return
    _print_alerts(alerts)
    for what, by_name in {"Destination": careful, "Scanner": waiting}.items():
        for name, said in by_name.items():
            console.print(f"{what} {name}: {said}", highlight=False, soft_wrap=True)
    console.print(f"Disk: {'; '.join(report.line for report in reports)}. See `kspace pools`.", highlight=False)
    summary = ", ".join(f"{n} {s}" for s, n in sorted(counts["capture"].items())) or "nothing yet"
    console.print(f"Captures: {summary}", highlight=False)
    if counts["image"]["here"] or counts["image"]["freed"]:
        said = ", ".join(f"{n} {s}" for s, n in sorted(counts["dicom"].items())) or "no route for any"
        kept, freed = counts["image"]["here"], counts["image"]["freed"]
        freed_too = f", {freed:,} freed after the proof" if freed else ""
        console.print(f"Studies: {said}; {kept:,} images here{freed_too}. See `kspace study`.", highlight=False)
    table = Table("ID", "File", "Protocol", "State", "Why")
    for row in captures:
        name = f"{row['scanner']}: {row['path']}"
        table.add_row(str(row["id"]), name, row["protocol"] or "-", row["state"], row["reason"] or "")
    if captures:
        console.print(table)


def _print_alerts(alerts: list[dict[str, Any]]) -> None:
    """Print some alerts of each topic, and how many more there are."""
    shown: dict[str, int] = {}
    for alert in alerts:
        topic = topic_of(alert["key"])
        shown[topic] = shown.get(topic, 0) + 1
        if shown[topic] <= _OF_A_TOPIC:
            console.print(f"[bold]{alert['severity'].upper()}[/] {alert['text']}", highlight=False)
    for topic, number in shown.items():
        if number > _OF_A_TOPIC:
            console.print(f"And {number - _OF_A_TOPIC:,} more of {topic}; see `kspace alerts`.", highlight=False)
