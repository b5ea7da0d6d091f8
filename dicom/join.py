"""The join: which study and which series a raw measurement belongs to. Pure; docs/design/join.md tells the rule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

from dicom import evidence
from dicom.clue import Clue, Strength
from dicom.evidence.first_readout import FirstReadoutClue
from dicom.evidence.serial import serial_of_measurement
from dicom.records import Certainty, Decision, Judged, Level, Series, Weight
from dicom.ticks import is_cut, reach_of
from dicom.uids import registration_of
from kspace.records import Measurement
from kspace.registry import plugins

_RETRO = 3_000_000
"""MIDs from here on are second reconstructions (RaidTool's list): the same readouts, played once more."""


class _Fit(Enum):
    """How well one series of a certain study fits the measurement."""

    NONE = 0
    WEAK = 1
    PART = 2
    """A strong clue supports, and that is not enough or a strong one contradicts."""
    SURE = 3
    """Two strong clues support, one of which is no time, and no strong one contradicts."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    series: Series
    judged: Judged
    strong: frozenset[str]
    timed: frozenset[str]

    def count(self, level: Level, weight: Weight, *, strong: bool) -> int:
        found = (e for e in self.judged.evidence if e.level is level and e.weight is weight)
        return sum((e.clue in self.strong) is strong for e in found)

    @property
    def is_elsewhere(self) -> bool:
        return self.count(Level.SCANNER, Weight.CONTRADICTS, strong=True) > 0

    @property
    def is_timed(self) -> bool:
        return any(e.clue in self.timed and e.weight is Weight.SUPPORTS for e in self.judged.evidence)

    @property
    def is_refuted(self) -> bool:
        return self.count(Level.MEASUREMENT, Weight.CONTRADICTS, strong=True) > 0

    @property
    def supports(self) -> int:
        """How many strong clues of the measurement speak for it."""
        return self.count(Level.MEASUREMENT, Weight.SUPPORTS, strong=True)

    @property
    def named(self) -> int:
        """How many of them are no times: number and mark. Times that a wrong clock gives are wrong together."""
        found = (e for e in self.judged.evidence if e.level is Level.MEASUREMENT and e.weight is Weight.SUPPORTS)
        return sum(e.clue in self.strong - self.timed for e in found)

    @property
    def is_misnamed(self) -> bool:
        """Whether number or mark speak against it."""
        against = (e for e in self.judged.evidence if e.level is Level.MEASUREMENT and e.weight is Weight.CONTRADICTS)
        return any(e.clue in self.strong - self.timed for e in against)

    @property
    def begins(self) -> bool:
        """Whether its first image is the first readout's."""
        return any(e.clue == FirstReadoutClue.name and e.weight is Weight.SUPPORTS for e in self.judged.evidence)

    @property
    def fit(self) -> _Fit:
        if not self.supports:
            hints = self.count(Level.MEASUREMENT, Weight.SUPPORTS, strong=False)
            return _Fit.WEAK if hints and not self.is_refuted else _Fit.NONE
        return _Fit.SURE if self.named and self.supports > 1 and not self.is_refuted else _Fit.PART


@cache
def default_clues() -> tuple[Clue, ...]:
    """Return every clue the registry knows, with its default settings, by name."""
    return tuple(p.build(p.settings()) for _, p in sorted(plugins(evidence).items()))


def index_keys(
    side: Measurement | Series, clues: Sequence[Clue] | None = None, *, level: Level | None = None
) -> frozenset[str]:
    """Return the keys of one side, of one level where given.

    A measurement and a series that share none need not be judged, but for the other series of a study that shares a
    key of the study's level.
    """
    known = [c for c in (default_clues() if clues is None else clues) if level in {None, c.level}]
    if isinstance(side, Measurement):
        return frozenset[str]().union(*(clue.keys_of_measurement(side) for clue in known))
    return frozenset[str]().union(*(clue.keys_of_series(side) for clue in known))


def visit_of(measurement: Measurement) -> str | None:
    """Return by what measurements of one visit to one scanner know each other, None where nothing tells.

    The study's UID (XA), else scanner and study LOID, else the registration. It finds rivals and proves nothing.
    """
    serial, registration = serial_of_measurement(measurement), registration_of(measurement.frame_of_reference)
    loid = f"loid:{serial}:{measurement.study_loid}" if measurement.study_loid else None
    return measurement.study_uid or loid or (":".join(registration) if registration else None)


def decide(
    measurement: Measurement,
    candidates: Iterable[Series],
    clues: Sequence[Clue] | None = None,
    *,
    rivals: Iterable[Measurement] = (),
) -> Decision:
    """Judge every candidate by every clue and say what is beyond doubt: scanner, then study, then measurement.

    Candidates are whole series (all instances seen so far) in any order: those that share an `index_keys` with the
    measurement. Rivals are other measurements, of which those of the same visit count: where one ran at the same time
    the scanner's clock was set back. The measurement itself and its copies may be among them. Nothing is guessed: what
    the clues do not agree on goes to a person, with all they said.
    """
    known = default_clues() if clues is None else clues
    found = [_judge(measurement, series, known) for series in sorted(_uncut(candidates), key=_order)]
    here = [candidate for candidate in found if not candidate.is_elsewhere]
    studies = _certain_studies(here)
    fitting = [c for c in here if c.series.study_uid in studies and c.fit is not _Fit.NONE]
    strays = [c for c in here if c.series.study_uid not in studies and c.fit is _Fit.SURE]
    others = [rival for rival in rivals if _is_rival(rival, measurement)]
    sure = [c for c in fitting if c.fit is _Fit.SURE]
    claimed = [c for c in sure if any(_fits_as_well(rival, c, known) for rival in others)]
    # What only might fit, beside it or in another study of this registration, is no rival of what is sure.
    decision = _weigh(sure or fitting or strays, studies, claimed, len(found))
    return replace(decision, judged=tuple(candidate.judged for candidate in found))


def _uncut(candidates: Iterable[Series]) -> list[Series]:
    """Return the series, those of a study that shows no fraction of a second without their times."""
    known = list(candidates)
    timed = {series.study_uid for series in known if not is_cut(series.ticks)}
    return [series if series.study_uid in timed else replace(series, ticks=frozenset()) for series in known]


def _is_rival(other: Measurement, measurement: Measurement) -> bool:
    """Return whether another measurement of the visit ran at about the same time, and is no copy."""
    mine, its = reach_of(measurement.ticks), reach_of(other.ticks)
    if mine is None or its is None or visit_of(other) != visit_of(measurement) or not mine.is_near(its):
        return False
    is_copy = measurement.mid == other.mid or max(measurement.mid or 0, other.mid or 0) >= _RETRO
    return not (is_copy and mine == its)


def _fits_as_well(rival: Measurement, candidate: _Candidate, clues: Sequence[Clue]) -> bool:
    """Return whether a series could be another measurement's no less than this one's, since a clock was wrong.

    Where number or mark fit both, that images lie outside the other says something only if the first of them is the
    first readout of this one: then the images' clock is that of the readouts.
    """
    other = _judge(rival, candidate.series, clues)
    if other.is_elsewhere or other.is_misnamed or other.named < candidate.named:
        return False
    reach = reach_of(rival.ticks)
    return reach is None or not candidate.begins or all(tick in reach for tick in candidate.series.ticks)


def _weigh(
    fitting: Sequence[_Candidate], studies: frozenset[str], claimed: Sequence[_Candidate], judged: int
) -> Decision:
    """Return the decision, given what fits, the certain studies, and what fits another measurement as well."""
    of = {c.series.study_uid for c in fitting} or studies
    study_uid = next(iter(of)) if len(of) == 1 else None
    if not of:
        return Decision(certainty=Certainty.UNMATCHED, reason=_unmatched(judged))
    if study_uid is None:
        return Decision(certainty=Certainty.AMBIGUOUS, reason=f"{len(of)} studies fit equally well.")
    if not fitting:
        reason = "The study is beyond doubt, but no series of it is this measurement's."
        return Decision(certainty=Certainty.STUDY_ONLY, reason=reason, study_uid=study_uid)
    is_known = study_uid in studies
    chosen = [c for c in fitting if is_known and c.fit is _Fit.SURE and c.is_timed and c not in claimed]
    if not chosen:
        reason = _doubt(fitting, claimed, is_known)
        return Decision(certainty=Certainty.AMBIGUOUS, reason=reason, study_uid=study_uid if is_known else None)
    uids = tuple(c.series.series_uid for c in chosen)
    reason = f"{_names(chosen)}: {_supports(chosen)}."
    return Decision(certainty=Certainty.CERTAIN, reason=reason, study_uid=study_uid, series_uids=uids)


def _certain_studies(here: Sequence[_Candidate]) -> frozenset[str]:
    """Return the studies for which a clue on any of their series speaks, and against which none does."""

    def having(weight: Weight) -> frozenset[str]:
        return frozenset(c.series.study_uid for c in here if c.count(Level.STUDY, weight, strong=True))

    return having(Weight.SUPPORTS) - having(Weight.CONTRADICTS)


def _judge(measurement: Measurement, series: Series, clues: Sequence[Clue]) -> _Candidate:
    said = tuple(clue.judge(measurement, series) for clue in clues)
    strong = frozenset(clue.name for clue in clues if clue.strength is Strength.STRONG)
    timed = frozenset(clue.name for clue in clues if clue.tells_when)
    judged = Judged(series_uid=series.series_uid, study_uid=series.study_uid, evidence=said)
    return _Candidate(series, judged, strong, timed)


def _order(series: Series) -> tuple[bool, int, str]:
    return series.number is None, series.number or 0, series.series_uid


def _names(candidates: Sequence[_Candidate]) -> str:
    numbers = ["?" if c.series.number is None else str(c.series.number) for c in candidates]
    return f"Series {', '.join(numbers)}"


def _supports(candidates: Sequence[_Candidate]) -> str:
    """Return what speaks for the decision, each clue once: the study's clues may lie on another of its series."""
    said = {e.clue: e.detail for c in reversed(candidates) for e in c.judged.evidence if e.weight is Weight.SUPPORTS}
    return "; ".join(said[clue] for clue in sorted(said))


def _doubt(fitting: Sequence[_Candidate], claimed: Sequence[_Candidate], is_certain: bool) -> str:
    against = {e.detail for c in fitting for e in c.judged.evidence if e.weight is Weight.CONTRADICTS}
    said, names = _supports(fitting), _names(fitting)
    if not is_certain:
        return f"{names} fit ({said}), but nothing proves that the study is the same."
    if claimed:
        return f"{_names(claimed)} fit another raw file as well, as if the scanner's clock had been set: {said}."
    if all(c.fit is _Fit.WEAK for c in fitting):
        return f"{names} may fit, by weak signs only: {said}."
    if not any(c.is_timed for c in fitting) and not against:
        return f"{names} fit ({said}), but no time says that it is not a repeat of the scan."
    if not against:
        return f"{names} fit ({said}), but that is one strong sign alone, which another scan could show too."
    return f"{names} fit in part: {said}; but {'; '.join(sorted(against))}."


def _unmatched(judged: int) -> str:
    if judged == 0:
        return "no DICOM that could belong to it has arrived."
    return f"none of {judged} series that could belong to it does, by scanner, study and time."
