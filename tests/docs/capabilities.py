"""What was proved on real files, as a table: `python -m tests.docs.capabilities FOLDER` prints it for the docs.

A line is a scanner model, its software, and how the file was written: by the host's export or streamed by a sender.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dicom.join import decide, index_keys
from dicom.records import Certainty, Series
from kspace.records import Measurement, Verdict
from kspace.twix.header import read_head
from kspace.twix.walk import Walker
from tests.unit.dicom.join_pairs import series_below

_NOT_YET = "not yet seen"
_LINES = ("VB17", "VB19", "VD13", "VE11", "VE12", "XA30", "XA60", "XA61")
"""The software lines people have; those without a file say so."""

_COLUMNS = ("scanner model", "software", "written by", "files", "header read", "walked", "has every key", "joined")


@dataclass
class _Line:
    files: int = 0
    read: int = 0
    walked: int = 0
    keyed: int = 0
    joined: int = 0
    images: int = 0


@dataclass
class _Found:
    lines: dict[tuple[str, str, str], _Line] = field(default_factory=dict)

    def at(self, model: str | None, software: str | None, how: str) -> _Line:
        """Return the line of a kind of file."""
        return self.lines.setdefault(
            (model or "unknown", (software or "unknown").removeprefix("syngo MR "), how), _Line()
        )


def table(folder: Path) -> str:
    """Return the table of every sample file below a folder."""
    found = _Found()
    series = series_below(folder)
    for path in sorted([*folder.rglob("*.dat"), *folder.rglob("*.twix")]):
        _add_raw(found, path.read_bytes(), series)
    for one in series:
        found.at(None, one.software, "DICOM only").images += len(one.sop_uids)
    lines = [
        "| " + " | ".join(_COLUMNS) + " |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for (model, software, how), n in sorted(found.lines.items()):
        if how != "DICOM only":
            joined = str(n.joined) if n.joined else _NOT_YET
            lines.append(f"| {model} | {software} | {how} | {n.files} | {n.read} | {n.walked} | {n.keyed} | {joined} |")
    seen = " ".join(software for _, software, how in found.lines if how != "DICOM only")
    for name in _LINES:
        if name.removeprefix("V") not in seen:
            images = sum(n.images for (_, software, _), n in found.lines.items() if name.removeprefix("V") in software)
            what = f"{images} images" if images else "no image either"
            lines.append(f"| any | {name} | any | 0 ({what}) | {_NOT_YET} | {_NOT_YET} | {_NOT_YET} | {_NOT_YET} |")
    return "\n".join(lines)


def _add_raw(found: _Found, content: bytes, series: Iterable[Series]) -> None:
    measurement = read_head(lambda offset, length: content[offset : offset + length], len(content))[-1]
    walker = Walker(len(content))
    walker.feed(content)
    audit = walker.finish()
    walked = walker.measurements[-1] if walker.measurements else measurement
    is_streamed = audit.verdict is Verdict.COMPLETE_STREAMED
    line = found.at(measurement.model, measurement.software, "a sender" if is_streamed else "the host's export")
    line.files += 1
    line.read += not measurement.unread
    line.walked += audit.verdict.is_whole
    line.keyed += _has_keys(walked)
    line.joined += decide(walked, series).certainty is Certainty.CERTAIN


def _has_keys(measurement: Measurement) -> bool:
    """Return whether study, number and time are all there."""
    prefixes = {key.split(":")[0] for key in index_keys(measurement)}
    return bool(prefixes & {"for", "study", "sop"}) and measurement.lprotid is not None and len(measurement.ticks) > 0


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1])) + "\n")
