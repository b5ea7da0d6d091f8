"""Which protocols are captured and delivered, and why. Pure: rules in, decision out.

Two steps, since raw data are short-lived and their project is known only once the DICOM session is: *capture* asks
whether any project wants this file, *deliver* asks what the session's own project wants. The first rule that fits wins.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from kspace.records import Measurement
from transfer.wishes import Rule


class Step(StrEnum):
    """Which of the two questions a decision answers."""

    CAPTURE = "capture"
    DELIVER = "deliver"


class Choice(BaseModel):
    """A decision with the rule behind it (None: no rule fitted) and the reason in words."""

    model_config = ConfigDict(frozen=True)

    step: Step
    is_wanted: bool
    rule: str | None
    project: str | None = None
    """Whose rule it is."""
    version: int | None = None
    """The version of the project's rules; None: the configuration's, or no rule."""
    reason: str
    dependencies: bool = False
    """The rule wants what the reconstruction needs as well."""


def choose_capture(
    rules: Sequence[Rule], measurement: Measurement | None, *, scanner: str, needed_by: Sequence[Measurement] = ()
) -> Choice:
    """Return whether any project's rules want this file captured, for itself or for what needs it.

    Within a project the first rule that fits decides; the file is captured if at least one project includes it.
    """
    denial: Choice | None = None
    decided = set[str]()
    for rule in rules:
        if rule.project in decided or not _fits(rule, measurement, scanner=scanner):
            continue
        decided.add(rule.project)
        choice = _choice(Step.CAPTURE, rule, measurement)
        if choice.is_wanted:
            return choice
        denial = denial or choice
    own = denial or _unasked(Step.CAPTURE, measurement, "no project asks for it")
    return _or_needed(own, (choose_capture(rules, other, scanner=scanner) for other in needed_by))


def choose_delivery(
    rules: Sequence[Rule],
    measurement: Measurement | None,
    *,
    scanner: str,
    project: str,
    needed_by: Sequence[Measurement] = (),
) -> Choice:
    """Return whether the rules of the session's own project want this file delivered, by itself or by what needs it."""
    rule = _first(rules, measurement, scanner=scanner, project=project)
    if rule is None:
        own = _unasked(Step.DELIVER, measurement, f"project {project} does not ask for it")
        return _or_needed(own, (choose_delivery(rules, m, scanner=scanner, project=project) for m in needed_by))
    return _choice(Step.DELIVER, rule, measurement)


def _or_needed(own: Choice, dependents: Iterable[Choice]) -> Choice:
    """Return the file's own choice, or that it is wanted after all; a rule that excludes it by name counts more."""
    if own.rule is not None:
        return own
    wanted = next((other for other in dependents if other.is_wanted and other.dependencies), None)
    if wanted is None:
        return own
    reason = f"{wanted.reason} The reconstruction of that needs this file."
    return wanted.model_copy(update={"step": own.step, "reason": reason, "dependencies": False})


def privacy_hold(
    rules: Sequence[Rule],
    measurements: Sequence[Measurement],
    *,
    scanner: str,
    project: str,
    is_read_to_the_end: bool = True,
) -> str | None:
    """Return why raw data may not leave for a project now, or None: asked at the door, each time something leaves.

    Held are unblanked patient fields, and headers nobody could look into, unless the rule allows identified raw. A
    damaged file (``is_read_to_the_end`` False) may hold further headers behind its damage.
    """
    rule = _first(rules, measurements[-1] if measurements else None, scanner=scanner, project=project)
    if rule is not None and rule.identified_raw != "hold":
        return None
    if not is_read_to_the_end:
        what = "the file is damaged, so there may be a header in it that nobody could look into"
    elif not measurements or any(m.unread for m in measurements):
        what = "the header could not be read in full, so nobody knows what it says of the patient"
    elif exposed := sorted({name for m in measurements for name in m.exposed_fields}):
        what = f"{', '.join(exposed)} in the raw header {'is' if len(exposed) == 1 else 'are'} not blanked"
    else:
        return None
    return (
        f"Held back for privacy: {what}. The data are safe in the spool. Export with anonymisation, or let the "
        "project's rule say identified_raw = { allowed_by, on }, then retry."
    )


def _first(rules: Sequence[Rule], measurement: Measurement | None, *, scanner: str, project: str) -> Rule | None:
    return next((r for r in rules if r.project == project and _fits(r, measurement, scanner=scanner)), None)


def _fits(rule: Rule, measurement: Measurement | None, *, scanner: str) -> bool:
    return rule.fits(scanner=scanner, protocol=(measurement.protocol if measurement else None) or "")


def _choice(step: Step, rule: Rule, measurement: Measurement | None) -> Choice:
    wanted = rule.action == "include"
    verb = "wants" if wanted else "excludes"
    of = f"project {rule.project}" + (f" (version {rule.version})" if rule.version is not None else "")
    return Choice(
        step=step,
        is_wanted=wanted,
        rule=rule.name,
        project=rule.project,
        version=rule.version,
        reason=f"Rule {rule.name!r} of {of} {verb} {_protocol(measurement)}.",
        dependencies=rule.dependencies,
    )


def _unasked(step: Step, measurement: Measurement | None, why: str) -> Choice:
    return Choice(step=step, is_wanted=False, rule=None, reason=f"Inventory only: {why} ({_protocol(measurement)}).")


def _protocol(measurement: Measurement | None) -> str:
    if measurement is None or not measurement.protocol:
        return "a file whose protocol could not be read"
    return f"protocol {measurement.protocol!r}"
