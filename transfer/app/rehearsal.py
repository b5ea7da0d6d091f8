"""Where images would go by the routes as they stand: the judgement of `forward`, on files instead of the catalog."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dicom.expressions import completed
from dicom.headers import NotDicom, describe
from dicom.records import Series, Study
from transfer.routing import Route, Target, route_of

Row = dict[str, Any]
_NOWHERE = "no route fits; it waits for `kspace assign`"
_TWO_WAYS = "its series do not belong to one place; it waits for `kspace assign`"


def rehearse(path: Path, routes: Sequence[Route], *, called_ae: str, calling_ae: str) -> tuple[list[Row], int]:
    """Return for each study where it would go and why, series by series; and how many files were no DICOM images."""
    heads: dict[str, dict[str, tuple[Study, Series]]] = defaultdict(dict)
    counts: Counter[str] = Counter()
    unread = 0
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        try:
            study, series, _ = describe(file)
        except NotDicom:
            unread += 1
            continue
        heads[study.study_uid].setdefault(series.series_uid, (study, series))
        counts[series.series_uid] += 1
    found = []
    for one in heads.values():
        told = completed([study for study, _ in one.values()])
        ways = [route_of(routes, study, called_ae=called_ae, calling_ae=calling_ae) for study in told]
        found.append(_study(list(one.values()), counts, ways))
    return found, unread


def _study(
    heads: Sequence[tuple[Study, Series]],
    counts: Counter[str],
    ways: Sequence[tuple[tuple[Target, ...], tuple[str, ...]]],
) -> Row:
    places = {tuple((t.destination, t.project, t.subject, t.session) for t in targets) for targets, _ in ways}
    targets = ways[0][0] if len(places) == 1 else ()
    series = [
        {
            "number": series.number,
            "description": series.description,
            "images": counts[series.series_uid],
            "kept": _kept(targets, study, series),
        }
        for study, series in heads
    ]
    return {
        "date": heads[0][0].date,
        "images": sum(counts[one.series_uid] for _, one in heads),
        "targets": [_target(target) for target in targets],
        "problem": None if targets else _NOWHERE if len(places) == 1 else _TWO_WAYS,
        "why": list(dict.fromkeys(said for _, why in ways for said in why)),
        "series": series,
    }


def _target(target: Target) -> Row:
    route, where = target.route, f"{target.destination}/{target.project}/{target.subject}/{target.session}"
    how = "is watched at" if route.forward == "observe" else "goes to"
    if route.deidentify is not None:
        how = f"is held, for there is no de-identification profile {route.deidentify!r}, on its way to"
    labels = {key: getattr(target, key) for key in ("destination", "project", "subject", "session")}
    told = {key: getattr(route, key) for key in ("forward", "archive", "deidentify")}
    return {**labels, **told, "words": f"{how} {where}"}


def _kept(targets: Iterable[Target], study: Study, series: Series) -> dict[str, str]:
    return {t.destination: why for t in targets if (why := t.route.refusal(study, series)) is not None}
