"""`kspace show ID`: the whole story of one capture."""

from typing import Annotated

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.catalog import lists


def show(
    capture_id: Annotated[int, typer.Argument(metavar="ID", help="The capture's number, as `kspace status` shows it.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one capture: what it is, what was decided and why, where it was sent, what the archive proved."""
    box = open_box(config)
    with box.database.read() as connection:
        story = lists.story(connection, capture_id)
    box.close()
    if as_json:
        print_json(story)
        return
    for label, value in _lines(story):
        console.print(f"{label:>12}  {value}", highlight=False, markup=False)


def _lines(story: lists.Row) -> list[tuple[str, str]]:
    lines = [
        ("capture", f"{story['id']}, {story['state']}"),
        ("file", f"{story['scanner']}: {story['path']} ({story['size']:,} bytes)"),
        ("protocol", f"{story['protocol'] or 'not read'}, MID {story['mid']}"),
        ("verdict", story["verdict"] or "not looked into yet"),
        ("sha256", story["sha256"] or "not read yet"),
        ("now", story["reason"] or "on its way"),
    ]
    lines += [(f"{d['step']}", d["reason"]) for d in story["decisions"]]
    for match in story["matches"]:
        lines.append(("joined", f"{match['certainty']}: {match['reason']}"))
        lines += [("evidence", f"{e['weight']}: {e['detail']}") for e in match["evidence"] if e["weight"] != "silent"]
    for sent in story["deliveries"]:
        lines.append((f"d{sent['id']}", f"to {sent['destination']}/{sent['project']}: {sent['state']}"))
        lines += [("", sent[key]) for key in ("place", "reason") if sent[key]]
        lines.append(("", f"{len(sent['parts'])} parts, {sum(p['size'] for p in sent['parts']):,} bytes"))
    lines += [(e["at"].strftime("%H:%M:%S"), f"{e['verb']} by {e['actor']}") for e in story["events"]]
    return lines
