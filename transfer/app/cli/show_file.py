"""One raw file on this disk: what it is, whether it is whole, and a quick look at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.color import Color
from rich.style import Style
from rich.text import Text

from kspace.errors import BadInput
from kspace.preview.quicklook import PreviewFailed, QuickLook, quick_look
from kspace.records import Measurement
from kspace.twix.header import is_seen
from transfer.app.cli.options import console, print_json
from transfer.app.rawfile import RawFile, clock_time, look_into, printable

_IDENTITY = (
    *(
        "baseline",
        "mid",
        "fid",
        "serial",
        "software",
        "model",
        "station",
        "protocol",
        "sequence",
        "lprotid",
        "planned_s",
    ),
    *("frame_of_reference", "study_loid", "study_uid", "exam_memory_uid", "reference_image_uids", "free_uuid"),
    "dependency_mids",
)
UNSEEN = "No real file of this version has been seen yet: its bytes are kept as they are, its fields may be others."
_COUNTS = ("channels", "samples", "readouts")


def show_file(path: Path, *, as_json: bool, png: Path | None) -> None:
    """Print what a file is; write its quick look to ``png``, or draw it small where the terminal has the colours.

    Raises:
        SourceError: the file cannot be read.
        PreviewFailed: ``png`` was asked for and there is no quick look.
        BadInput: ``png`` exists or cannot be written.
    """
    if png and png.exists():
        raise BadInput(f"{printable(str(png))} exists already and was left alone; choose another name.")
    raw = look_into(path)
    told: dict[str, Any] = {
        "file": printable(str(path)),
        "size": raw.size,
        "verdict": raw.audit.verdict.value,
        "position": raw.audit.position,
        "reason": raw.audit.reason,
        "measurements": [_told(measurement) for measurement in raw.measurements],
    }
    if not as_json:
        for label, value in _lines(told):
            console.print(f"{label:>20}  {value}", highlight=False, markup=False, soft_wrap=True)
        _draw(raw, png)
        return
    if png:
        told["quick_look"] = _findings(_written(raw, png))
    print_json(told)


def _told(found: Measurement) -> dict[str, Any]:
    known = {name: getattr(found, name) for name in (*_IDENTITY, *_COUNTS)}
    return {name: printable(value) if isinstance(value, str) else value for name, value in known.items()} | {
        "is_seen_software": is_seen(found.software),
        "first": clock_time(found.ticks[0]) if found.ticks else None,
        "last": clock_time(found.ticks[-1]) if found.ticks else None,
        "exposed_fields": list(found.exposed_fields),
        "unread": list(found.unread),
    }


def _lines(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "file", f"{told['file']} ({told['size']:,} bytes)"
    yield "verdict", f"{told['verdict']}, at byte {told['position']:,}: {told['reason']}"
    for number, one in enumerate(told["measurements"], 1):
        yield "measurement", f"{number} of {len(told['measurements'])}"
        yield from ((name.replace("_", " "), _said(one[name])) for name in _IDENTITY if one[name] not in {None, ()})
        if not one["is_seen_software"]:
            yield "software", UNSEEN
        yield "size", ", ".join(f"{one[name]:,} {name}" for name in _COUNTS)
        yield "scanned", f"{one['first']} to {one['last']}, the scanner's clock" if one["first"] else "nothing"
        yield "exposed", ", ".join(one["exposed_fields"]) or "no patient name, ID or birth date"
        yield "not read", ", ".join(one["unread"]) or "nothing: every part of the header could be read"


def _draw(raw: RawFile, png: Path | None) -> None:
    is_capable = console.is_terminal and console.color_system in {"truecolor", "256"}
    if not png and not is_capable:
        return
    try:
        look = _written(raw, png) if png else quick_look(raw.path, audit=raw.audit)
    except PreviewFailed as error:
        if png:
            raise
        console.print(f"{'quick look':>20}  {error}", highlight=False, markup=False, soft_wrap=True)
        return
    for label, value in _findings(look).items():
        console.print(f"{label.partition('_')[0]:>12}  {_said(value)}", highlight=False, markup=False, soft_wrap=True)
    if is_capable:
        console.print(half_blocks(look.picture))


def half_blocks(rows: tuple[bytes, ...]) -> Text:
    """Return grey pixels as characters, two rows in each: the upper one its foreground, the lower its background."""
    picture = Text()
    for upper, lower in zip(rows[::2], rows[1::2], strict=False):
        for above, below in zip(upper, lower, strict=True):
            picture.append("▀", Style(color=Color.from_rgb(*[above] * 3), bgcolor=Color.from_rgb(*[below] * 3)))
        picture.append("\n")
    return picture


def _written(raw: RawFile, png: Path) -> QuickLook:
    look = quick_look(raw.path, audit=raw.audit)
    try:
        with png.open("xb") as out:
            out.write(look.png)
    except OSError as error:
        raise BadInput(f"{printable(str(png))} cannot be written ({error.strerror}); choose another name.") from None
    return look


def _findings(look: QuickLook) -> dict[str, Any]:
    return {
        "kind": look.kind,
        "reader": look.reader,
        "lines": look.lines,
        "missing_lines": look.missing_lines,
        "dead_channels": list(look.dead_channels),
        "spiking_channels": list(look.spiking_channels),
        "noise": list(look.noise),
    }


def _said(value: object) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    return ", ".join(f"{one:.3g}" if isinstance(one, float) else str(one) for one in value) or "none"
