"""How the join does on a world of known truth: `python -m tests.unit.dicom.join_matrix [SESSIONS [SEED ...]]`."""

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from dicom.join import decide, index_keys, visit_of
from dicom.records import Certainty, Decision, Judged, Level, Series, Weight
from dicom.ticks import Span, reach_of
from tests.unit.dicom.join_world import RawTruth, Truth, World, make_world

RIGHT, WRONG = "certain, right", "certain, WRONG"
STUDY, WRONG_STUDY, MISSED = "study, right", "study, WRONG", "study, a series missed"
COLUMNS = (RIGHT, WRONG, STUDY, WRONG_STUDY, MISSED, "ambiguous", "unmatched")
WITH_KEYS, ALL = "with its keys", "all"


@dataclass(frozen=True, slots=True)
class Matrix:
    """How raw files were answered, and what was found of the series that were made of them."""

    files: dict[tuple[str, Truth], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By software line and truth, the columns' counts."""
    series: dict[tuple[str, str], Counter[bool]] = field(default_factory=lambda: defaultdict(Counter))
    """By software line and kind of series, how many (a series counts for each of its raw files) were found or not."""

    def add(self, raw: RawTruth, decision: Decision, arrived: Collection[str]) -> None:
        """Count one answer."""
        self.files[raw.line, raw.truth][answer(raw, decision)] += 1
        for kind, uids in ((WITH_KEYS, raw.keyed_uids), (ALL, raw.series_uids)):
            for uid in uids:
                self.series[raw.line, kind][uid in decision.series_uids] += uid in arrived

    @property
    def wrong(self) -> Counter[Truth]:
        """How many raw files were said with certainty to be of a series or of a study they are not of, by truth."""
        found = Counter[Truth]()
        for (_, truth), counts in self.files.items():
            found[truth] += sum(counts[column] for column in (WRONG, WRONG_STUDY))
        return +found

    def said(self, line: str, *, untold: bool) -> Counter[bool]:
        """How many answers of a software line were certain of a scan or of a study, and right or not."""
        found = Counter[bool]()
        for (of_line, truth), counts in self.files.items():
            if of_line == line and (untold or truth is not Truth.UNTOLD):
                for column in (RIGHT, WRONG, STUDY, WRONG_STUDY, MISSED):
                    found[column not in {WRONG, WRONG_STUDY}] += counts[column]
        return found


def judge(world: World, arrived: Iterable[Series], found: Matrix | None = None) -> Matrix:
    """Return how the join answers when these series have arrived, added to what was found in other worlds."""
    found, known = found or Matrix(), list(arrived)
    uids = {series.series_uid for series in known}
    for raw, decision in decisions(world, known):
        found.add(raw, decision, uids)
    return found


def decisions(world: World, arrived: Iterable[Series]) -> Iterator[tuple[RawTruth, Decision]]:
    """Yield the join's answer for each raw file, without a catalog: candidates by their keys, rivals by their visit."""
    index: dict[str, list[Series]] = defaultdict(list)
    studies: dict[str, list[Series]] = defaultdict(list)
    visits: dict[str | None, list[RawTruth]] = defaultdict(list)
    for series in arrived:
        studies[series.study_uid].append(series)
        for key in index_keys(series):
            index[key].append(series)
    for raw in world.raw:
        visits[visit_of(raw.measurement)].append(raw)
    for raw in world.raw:
        near = [s for key in index_keys(raw.measurement) for s in index.get(key, ())]
        known = [s for key in index_keys(raw.measurement, level=Level.STUDY) for s in index.get(key, ())]
        near += [s for study_uid in {s.study_uid for s in known} for s in studies[study_uid]]
        candidates = {s.series_uid: s for s in near}.values()
        rivals = [other.measurement for other in visits[visit_of(raw.measurement)]]
        yield raw, decide(raw.measurement, candidates, rivals=rivals)


def answer(raw: RawTruth, decision: Decision) -> str:
    """Return the column a decision falls into."""
    if decision.certainty is Certainty.CERTAIN:
        is_right = decision.study_uid in raw.study_uids and set(decision.series_uids) <= raw.series_uids
        return RIGHT if is_right else WRONG
    if decision.certainty is Certainty.STUDY_ONLY:
        if decision.study_uid not in raw.study_uids:
            return WRONG_STUDY
        return MISSED if raw.series_uids else STUDY
    return str(decision.certainty)


def by_time_alone(world: World) -> Counter[bool]:
    """Count what would be right, and what wrong, if the beginning were enough where no number can be compared.

    Asked for is all there is: the study is certain, scanner and name agree, the images begin with the first readout,
    no other raw file of the visit ran at about that time, and no other series of the study lies within it.
    """
    found = Counter[bool]()
    visits: dict[str | None, set[Span]] = defaultdict(set)
    for raw in world.raw:
        if reach := reach_of(raw.measurement.ticks):
            visits[visit_of(raw.measurement)].add(reach)
    for raw, decision in decisions(world, world.series):
        reach = reach_of(raw.measurement.ticks)
        others = visits[visit_of(raw.measurement)] - {reach}
        if decision.certainty is not Certainty.AMBIGUOUS or reach is None or any(reach.is_near(o) for o in others):
            continue
        said = {j.series_uid: _said(j) for j in decision.judged if j.study_uid == decision.study_uid}
        (uid, *more) = [uid for uid, weights in said.items() if weights["interval"] is Weight.SUPPORTS] or [""]
        if not more and uid and all(said[uid][clue] is weight for clue, weight in _ALONE.items()):
            found[uid in raw.series_uids] += 1
    return found


_ALONE = dict.fromkeys(("serial", "protocol_name", "first_readout", "tick"), Weight.SUPPORTS) | {
    "lprotid": Weight.SILENT
}


def _said(judged: Judged) -> dict[str, Weight]:
    return {e.clue: e.weight for e in judged.evidence}


def table(found: Matrix) -> str:
    """Return raw files by their answers, how many certain ones were wrong, and what series were found, as Markdown."""
    lines = ["| software | truth of the raw file | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for (line, truth), counts in sorted(found.files.items()):
        lines.append(f"| {line} | {truth} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |")
    lines += ["", "| software | raw files | said with certainty | wrong | precision |", "|---|---|---:|---:|---:|"]
    for line in sorted({line for line, _ in found.files}):
        for kind, untold in (("all", True), ("all but those whose number was given twice, one missing", False)):
            said = found.said(line, untold=untold)
            lines.append(f"| {line} | {kind} | {said.total()} | {said[False]} | {said[True] / said.total():.4f} |")
    lines += ["", "| software | series of raw files | there | found | share |", "|---|---|---:|---:|---:|"]
    for (line, kind), counts in sorted(found.series.items()):
        share = counts[True] / counts.total()
        lines.append(f"| {line} | {kind} | {counts.total()} | {counts[True]} | {share:.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sessions, *seeds = [int(given) for given in sys.argv[1:]] or [500]
    found, alone, raw_files, all_series = Matrix(), Counter[bool](), 0, 0
    for seed in seeds or [1]:
        world = make_world(sessions=sessions, seed=seed)
        judge(world, world.series, found)
        alone += by_time_alone(world)
        raw_files, all_series = raw_files + len(world.raw), all_series + len(world.series)
    said = f"{sessions} sessions for each of the seeds {seeds or [1]}: {raw_files} raw files, {all_series} series"
    sys.stdout.write(f"{said}\n\n{table(found)}\n\nBy time alone: {alone.total()}, wrong: {alone[False]}\n")
