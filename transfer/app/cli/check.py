"""`kspace check`: is everything in the configuration as it must be, and how does an archive behave?"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from kspace.errors import BadInput
from transfer.app.checks import Finding, run_checks
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.app.probing import run_probe
from transfer.app.wiring import Box
from transfer.destinations.probing import Answer


def check(
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
    destination: Annotated[str | None, typer.Option(help="Only this destination.")] = None,
    is_probing: Annotated[bool, typer.Option("--probe", help="Find out how the destination behaves.")] = False,
    project: Annotated[str | None, typer.Option(help="A scratch project to probe in.")] = None,
) -> None:
    """Try everything the configuration names, a line each.

    Every folder, share, archive, port and clock: what is right, and what to do about what is not. Exit code 0 only if
    everything is right; a warning is no mistake. With --probe a destination is asked how it behaves, in a scratch
    project, and the relay relies on what it found until the archive is updated.
    """
    box = open_box(config)
    if is_probing:
        _probe(box, destination, project=project, as_json=as_json)
        return
    try:
        tell_findings(run_checks(box, destination=destination), as_json=as_json)
    finally:
        box.close()


def tell_findings(results: Iterable[Finding], *, as_json: bool) -> None:
    """Print findings, a line each as soon as it is known; exit code 1 unless all are right."""
    told = []
    for result in results:
        told.append(result)
        if not as_json:
            typer.echo(f"{_mark(result)} {result.what}: {result.said}")
    if as_json:
        print_json([asdict(r) for r in told])
    if not all(r.is_right for r in told):
        raise typer.Exit(1)


def _mark(result: Finding) -> str:
    if not result.is_right:
        return "WRONG"
    return "warn " if result.warns else "ok  "


def _probe(box: Box, destination: str | None, *, project: str | None, as_json: bool) -> None:
    if destination is None:
        raise BadInput("Name the destination to probe: --destination NAME.")
    with console.status("Probing…") as shown:

        def tell(answer: Answer) -> None:
            if not as_json:
                typer.echo(_told(answer))
            shown.update(f"Probing… {answer.about} done")

        profile = run_probe(box, destination, project=project, tell=tell)
    box.close()
    if as_json:
        print_json(asdict(profile))
        return
    differs = [answer for answer in profile.answers if not answer.is_as_known]
    typer.echo(f"{profile.server}: {len(profile.answers)} questions, {len(differs)} answered unlike the sandbox.")
    for left in profile.left:
        typer.echo(f"Stays there, for this account may not delete it: {left}.")


def _told(answer: Answer) -> str:
    if answer.is_as_known:
        return f"as known {answer.about}: {answer.asked}: {answer.answered}"
    return f"DIFFERS  {answer.about}: {answer.asked}: {answer.answered}. Normally: {answer.normally} ({answer.source})."
