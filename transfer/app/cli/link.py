"""`kspace review`, `link`, `unlink` and `undo`: a person says which scan a raw file is of."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from dicom.records import Judged, Weight
from transfer import linking
from transfer.app.cli.options import (
    DEFAULT_CONFIG,
    LARGEST_ID,
    AsJson,
    ConfigPath,
    actor,
    console,
    open_box,
    print_json,
)
from transfer.app.rawfile import clock_time, printable

CaptureId = Annotated[
    int,
    typer.Argument(metavar="RAW", max=LARGEST_ID, help="The capture's number, as `kspace status` shows it."),
]


def review(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the raw files whose scan is unknown or in doubt, with every series they could be of, likely ones first."""
    relay = open_box(config)
    found = linking.doubts(relay.database)
    relay.close()
    told = [_told(doubt) for doubt in found]
    if as_json:
        print_json(told)
        return
    for one in told:
        start = f", {one['start']}" if one["start"] else ""
        what = f"MID {one['mid']} {one['protocol']}" if one["protocol"] else one["path"]
        console.print(
            f"{one['raw']}  {what}{start}, {one['scanner']}, {one['state']}",
            style="bold",
            highlight=False,
            markup=False,
        )
        console.print(f"    {one['certainty']}: {one['reason']}", highlight=False, markup=False)
        for series in one["candidates"]:
            what = (
                f"{series['name']} of session {series['session']}: series {series['number']} {series['protocol'] or ''}"
            )
            console.print(f"    {what}", highlight=False, markup=False)
            for said in series["evidence"]:
                console.print(f"        {said}", highlight=False, markup=False)
    many = "1 raw file waits" if len(told) == 1 else f"{len(told)} raw files wait"
    how = f"{many} for a scan. `kspace link RAW s12` says which it is."
    console.print(how if told else "No raw file waits for a scan.", highlight=False)


def link(
    capture_id: CaptureId,
    scan: Annotated[str, typer.Argument(help="A series (s12), or only a session (t3), as `kspace review` shows them.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say which scan a raw file is of; it is delivered there, anew if it was delivered elsewhere."""
    relay = open_box(config)
    words = linking.link(relay.database, capture_id, scan, actor=actor(), clock=relay.clock)
    relay.close()
    typer.echo(f"Capture {capture_id} is linked to {words}. `kspace unlink {capture_id}` takes that back.")


def unlink(capture_id: CaptureId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take back what a raw file was joined or linked to; nothing is deleted in an archive."""
    relay = open_box(config)
    linking.unlink(relay.database, capture_id, actor=actor(), clock=relay.clock)
    relay.close()
    typer.echo(f"Capture {capture_id} is linked to nothing and held. `kspace review` shows what it could be of.")


def undo(capture_id: CaptureId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take back the last link or unlink of a raw file: what counted before counts again."""
    relay = open_box(config)
    words = linking.undo(relay.database, capture_id, actor=actor(), clock=relay.clock)
    relay.close()
    typer.echo(f"Capture {capture_id} is as it was before. {words}")


def _told(doubt: linking.Doubt) -> dict[str, Any]:
    capture, image, decision = doubt.capture, doubt.capture.image, doubt.decision
    return {
        "raw": capture.id,
        "scanner": capture.scanner,
        "state": capture.state,
        "path": printable(capture.file.path),
        "mid": image and image.mid,
        "protocol": image and printable(image.protocol or "without a protocol"),
        "start": clock_time(image.ticks[0]) if image and image.ticks else None,
        "certainty": decision.certainty,
        "reason": decision.reason,
        "candidates": [
            {
                **asdict(doubt.names[judged.series_uid]),
                "series_uid": judged.series_uid,
                "study_uid": judged.study_uid,
                "evidence": [f"{e.weight}: {e.detail}" for e in judged.evidence if e.weight is not Weight.SILENT],
            }
            for judged in sorted(decision.judged, key=_against)
        ],
    }


def _against(judged: Judged) -> int:
    """Return how much speaks against a series: what it is most likely of comes first."""
    return sum(e.weight is Weight.CONTRADICTS for e in judged.evidence)
