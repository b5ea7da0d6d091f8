"""Probes a destination for `kspace check --probe`, and says how far an archive is known."""

from collections.abc import Callable
from dataclasses import asdict

from kspace.errors import BadInput
from transfer.app.wiring import Box
from transfer.catalog.probes import CAREFUL, probes, record_probe
from transfer.destinations.probing import Answer, Probed, Profile


def run_probe(box: Box, destination: str, *, project: str | None, tell: Callable[[Answer], None]) -> Profile:
    """Probe a destination in a scratch project and remember what came of it.

    Raises:
        BadInput: there is no such destination, it cannot be probed, or no project is named.
        DestinationError: it gave up meanwhile.
    """
    archive = box.archives().get(destination)
    if archive is None:
        raise BadInput(f"No destination is called {destination!r}; see [[destination]] in the configuration.")
    if not isinstance(archive, Probed):
        raise BadInput(f"Destination {destination} is of a kind that needs no probe.")
    with box.database.read() as connection:
        earlier = probes(connection, destination)
    project = project or (earlier[0]["project"] if earlier else None)
    if project is None:
        raise BadInput("Name a scratch project in which the account is a member: --project NAME.")
    profile = archive.probe(project=project, tell=tell)
    record_probe(
        box.database,
        destination,
        server=profile.server,
        project=project,
        facts=profile.facts,
        answers=[asdict(answer) for answer in profile.answers],
        largest=profile.largest,
        at=box.clock.now(),
    )
    return profile


def standing(box: Box, destination: str, server: str | None = None) -> tuple[bool, str]:
    """Return whether a destination was probed (as the ``server`` it is now, where that is known), and a sentence."""
    with box.database.read() as connection:
        found = probes(connection, destination)
    of_this = [row for row in found if server in {None, row["server"]}]
    if not of_this:
        version = f"never probed as {server}" if found else "never probed"
        how = f"`kspace check --destination {destination} --probe --project NAME` ends that"
        return False, f"{version}, {CAREFUL}; {how}"
    last = of_this[0]
    differs = sum(answer["answered"] != answer["normally"] for answer in last["answers"])
    said = f"in {differs} of {len(last['answers'])} answers" if differs else "in no answer"
    return True, f"probed on {last['at']:%Y-%m-%d} as {last['server']}; it differs from the sandbox {said}"


def scratch_projects(box: Box, destination: str) -> set[str]:
    """Return the projects that a destination was probed in."""
    with box.database.read() as connection:
        return {row["project"] for row in probes(connection, destination)}
