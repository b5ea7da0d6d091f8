"""Every real raw file against every real series, as a table: `python -m tests.unit.dicom.join_pairs FOLDER`."""

import sys
from dataclasses import replace
from pathlib import Path

from dicom.headers import describe
from dicom.join import decide
from dicom.records import Judged, Series, Weight
from kspace.twix.walk import Walker


def series_below(folder: Path) -> list[Series]:
    """Return the series of every image below a folder, each with all its images."""
    found: dict[str, Series] = {}
    for path in sorted([*folder.rglob("*.IMA"), *folder.rglob("*.dcm")]):
        _, series, instance = describe(path)
        known = found.get(series.series_uid, series)
        images = {"sop_uids": known.sop_uids | {instance.sop_uid}, "ticks": known.ticks | set(instance.ticks)}
        found[series.series_uid] = replace(known, **images)
    return list(found.values())


def table(folder: Path) -> str:
    """Return the answer for each raw file, with what supports it on the series, or on the nearest one."""
    series = series_below(folder)
    lines = ["| raw file | software | answer | series | supports | contradicts |", "|---|---|---|---|---|---|"]
    for path in sorted([*folder.rglob("*.dat"), *folder.rglob("*.twix")]):
        content = path.read_bytes()
        walker = Walker(len(content))
        walker.feed(content)
        raw = walker.measurements[-1]
        decision = decide(raw, series)
        best = max(decision.judged, key=lambda j: (j.series_uid in decision.series_uids, _supports(j)))
        numbers = ", ".join(str(s.number) for s in series if s.series_uid in decision.series_uids) or "-"
        said = [", ".join(e.clue for e in best.evidence if e.weight is w) or "-" for w in list(Weight)[:2]]
        name = raw.mid if raw.mid is not None else "?"
        version = (raw.software or "").removeprefix("syngo MR ")
        cells = (f"MID {name} {raw.protocol}", version, decision.certainty, numbers, *said)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _supports(judged: Judged) -> int:
    return sum(e.weight is Weight.SUPPORTS for e in judged.evidence)


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1])) + "\n")
