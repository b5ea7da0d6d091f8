"""The join: which study and which series a raw measurement belongs to. Pure; docs/design/join.md tells the rule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

from dicom import evidence
from dicom.clue import Clue, Strength
from dicom.records import Certainty, Decision, Judged, Level, Series, Weight
from kspace.records import Measurement
from kspace.registry import plugins


class _Fit(Enum):
    """How well one series of a certain study fits the measurement."""

    NONE = 0
    WEAK = 1
    DISPUTED = 2
    """A strong clue supports, another clue contradicts."""
    SINGLE = 3
    """One strong clue supports and nothing contradicts."""
    SURE = 4
    """Two strong clues support and no strong one contradicts."""


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
    def fit(self) -> _Fit:
        level = Level.MEASUREMENT
        supports = self.count(level, Weight.SUPPORTS, strong=True)
        contradicts = self.count(level, Weight.CONTRADICTS, strong=True)
        hints = self.count(level, Weight.SUPPORTS, strong=False)
        doubts = contradicts + self.count(level, Weight.CONTRADICTS, strong=False)
        if not supports:
            return _Fit.WEAK if hints and not contradicts else _Fit.NONE
        if supports > 1 and not contradicts:
            return _Fit.SURE
        return _Fit.DISPUTED if doubts else _Fit.SINGLE


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


def decide(measurement: Measurement, candidates: Iterable[Series], clues: Sequence[Clue] | None = None) -> Decision:
    """Judge every candidate by every clue and say what is beyond doubt: scanner, then study, then measurement.

    Candidates are whole series (all instances seen so far) in any order: those that share an `index_keys` with the
    measurement. Nothing is guessed: what the clues do not agree on goes to a person, with all they said.
    """
    known = default_clues() if clues is None else clues
    found = [_judge(measurement, series, known) for series in sorted(candidates, key=_order)]
    here = [candidate for candidate in found if not candidate.is_elsewhere]
    studies = _certain_studies(here)
    fitting = [c for c in here if c.series.study_uid in studies and c.fit is not _Fit.NONE]
    strays = [c for c in here if c.series.study_uid not in studies and c.fit is _Fit.SURE]
    decision = _weigh(fitting or strays, studies, len(found))
    return replace(decision, judged=tuple(candidate.judged for candidate in found))


def _weigh(fitting: Sequence[_Candidate], studies: frozenset[str], judged: int) -> Decision:
    """Return the decision, given the series that fit and the studies beyond doubt."""
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
    chosen = _chosen(fitting) if is_known else []
    if not chosen:
        reason = _doubt(fitting, is_known)
        return Decision(certainty=Certainty.AMBIGUOUS, reason=reason, study_uid=study_uid if is_known else None)
    uids = tuple(c.series.series_uid for c in chosen)
    reason = f"{_names(chosen)}: {_supports(chosen)}."
    return Decision(certainty=Certainty.CERTAIN, reason=reason, study_uid=study_uid, series_uids=uids)


def _chosen(fitting: Sequence[_Candidate]) -> list[_Candidate]:
    """Return the series of the measurement.

    One strong clue is enough only where no other series is in dispute, and nothing is enough where no time agrees: a
    scan that was broken off and its repeat may share everything else, and the host counts anew after a restart.
    """
    fits = {c.fit for c in fitting}
    if _Fit.SURE not in fits and (_Fit.SINGLE not in fits or _Fit.DISPUTED in fits):
        return []
    return [c for c in fitting if c.fit in {_Fit.SURE, _Fit.SINGLE} and c.is_timed]


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


def _doubt(fitting: Sequence[_Candidate], is_certain: bool) -> str:
    if not is_certain:
        return f"{_names(fitting)} fit by number and time, but nothing proves that the study is the same."
    if not any(c.is_timed for c in fitting) and all(c.fit in {_Fit.SURE, _Fit.SINGLE} for c in fitting):
        return f"{_names(fitting)} fit ({_supports(fitting)}), but no time says that it is not a repeat of the scan."
    against = {e.detail for c in fitting for e in c.judged.evidence if e.weight is Weight.CONTRADICTS}
    if all(c.fit is _Fit.WEAK for c in fitting):
        return f"{_names(fitting)} may fit, by weak signs only: {_supports(fitting)}."
    return f"{_names(fitting)} fit in part: {_supports(fitting)}; but {'; '.join(sorted(against))}."


def _unmatched(judged: int) -> str:
    if judged == 0:
        return "no DICOM that could belong to it has arrived."
    return f"none of {judged} series that could belong to it does, by scanner, study and time."
