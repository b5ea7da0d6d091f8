"""How the join does on a world of known truth: `python -m tests.unit.dicom.join_matrix [SESSIONS [SEED]]`."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

from rich.console import Console

from dicom.join import decide, index_keys
from dicom.records import Certainty, Decision, Level, Series
from tests.unit.dicom.join_world import RawTruth, Truth, World, make_world

Matrix = dict[tuple[str, Truth], Counter[str]]
RIGHT, WRONG = "certain, right", "certain, WRONG"
STUDY, WRONG_STUDY, MISSED = "study, right", "study, WRONG", "study, a series missed"
COLUMNS = (RIGHT, WRONG, STUDY, WRONG_STUDY, MISSED, "ambiguous", "unmatched")


def judge(world: World, arrived: Iterable[Series]) -> Matrix:
    """Return how many raw files of each software line and truth were answered how."""
    found: Matrix = defaultdict(Counter)
    index: dict[str, list[Series]] = defaultdict(list)
    studies: dict[str, list[Series]] = defaultdict(list)
    for series in arrived:
        studies[series.study_uid].append(series)
        for key in index_keys(series):
            index[key].append(series)
    for raw in world.raw:
        near = [s for key in index_keys(raw.measurement) for s in index.get(key, ())]
        known = [s for key in index_keys(raw.measurement, level=Level.STUDY) for s in index.get(key, ())]
        near += [s for study_uid in {s.study_uid for s in known} for s in studies[study_uid]]
        decision = decide(raw.measurement, {s.series_uid: s for s in near}.values())
        found[raw.line, raw.truth][answer(raw, decision)] += 1
    return found


def answer(raw: RawTruth, decision: Decision) -> str:
    """Return the column a decision falls into."""
    if decision.certainty is Certainty.CERTAIN:
        is_right = decision.study_uid in raw.study_uids and set(decision.series_uids) <= raw.series_uids
        return RIGHT if is_right else WRONG
    if decision.certainty is Certainty.STUDY_ONLY:
        if decision.study_uid not in raw.study_uids:
            return WRONG_STUDY
        return MISSED if raw.truth is Truth.SEEN else STUDY
    return str(decision.certainty)


def table(found: Matrix) -> str:
    """Return the matrix as Markdown."""
    lines = ["| software | truth | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for (line, truth), counts in sorted(found.items()):
        lines.append(f"| {line} | {truth} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    sessions, seed = int(given.get(1, 500)), int(given.get(2, 1))
    world = make_world(sessions=sessions, seed=seed)
    out = Console(width=200, highlight=False)
    out.print(f"{sessions} sessions, {len(world.raw)} raw files, {len(world.series)} series, seed {seed}\n")
    out.print(table(judge(world, world.series)), markup=False)
