"""`kspace rules import | undo | rehearse`: what a project wants from now on, tried before on what its scanners ran."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hardware.pools import amount
from kspace.errors import BadInput
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, actor, console, open_box, print_json
from transfer.app.cli.rules import Project, named
from transfer.app.rule_rehearsal import WEEKS
from transfer.app.rule_rehearsal import rehearse as try_out
from transfer.rulefile import parse

File = Annotated[Path, typer.Argument(help="Rules as TOML, as `kspace rules export` prints them.", metavar="FILE")]
Weeks = Annotated[int, typer.Option(min=1, max=52, help="How many weeks back.")]


def import_(
    project: Project,
    file: File,
    comment: Annotated[str, typer.Option(help="Why, without patient data.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Save the rules of a file as the project's next version; it decides from now on."""
    wishes = parse(_read(file), project=named(project))
    box = open_box(config)
    with box.database.read() as connection:
        after = box.rules.version(connection, project).version
    number = box.rules.save(project, wishes, after=after, comment=comment, actor=actor(), at=box.clock.now())
    box.close()
    _saved(project, number, as_json=as_json)


def undo(
    project: Project,
    version: Annotated[int, typer.Argument(help="The version to go back to.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Save an older version's rules once more, as the next version."""
    box = open_box(config)
    with box.database.read() as connection:
        after = box.rules.version(connection, named(project)).version
    number = box.rules.go_back(project, version, after=after, actor=actor(), at=box.clock.now())
    box.close()
    _saved(project, number, as_json=as_json)


def rehearse(
    project: Project,
    file: Annotated[Path | None, typer.Argument(help="Rules to try; by default those in force.")] = None,
    weeks: Weeks = WEEKS,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what rules would have captured of the last weeks, and what that does to the disk and the line."""
    wishes = None if file is None else parse(_read(file), project=named(project))
    box = open_box(config)
    if wishes is None:
        with box.database.read() as connection:
            wishes = box.rules.version(connection, project).wishes
    found = try_out(box, project, wishes, weeks=weeks)
    box.close()
    if as_json:
        print_json(found | {"protocols": [asdict(one) for one in found["protocols"]]})
        return
    _tell(found)


def _tell(found: dict[str, Any]) -> None:
    for one in found["protocols"]:
        what = "captured" if one.then else "left"
        by = f" by {', '.join(one.rules)}" if one.rules else ""
        _say(f"{what:8} {one.files:6,} files {amount(one.size):>9}  {one.name or 'protocol not read'}{by}")
    for when, said in (("seen", "ran"), ("now", "captured by the rules in force"), ("then", "captured by these")):
        _say(f"{found[when]['files']:,} files, {amount(found[when]['bytes'])} {said} in {found['weeks']} weeks.")
    daily, days, line = found["bytes_per_day"], found["disk"]["days"], found["line"]
    _say(f"A day: {amount(daily['then'])} packed (now {amount(daily['now'])}).")
    if days["then"] is not None:
        _say(f"The disk takes that for {days['then']:,.0f} days if the archive takes nothing.")
    _say(f"At {line['mbit_per_s']:g} Mbit/s the line is busy for {line['hours_per_day']['then']:,.1f} hours a day.")
    if found["at_once"]["files"]:
        at_once = found["at_once"]
        _say(f"{at_once['files']:,} files ({amount(at_once['bytes'])}) are still on a scanner: see `kspace backfill`.")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read as text. Nothing was changed.") from error


def _saved(project: str, number: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"project": project, "version": number})
        return
    _say(f"Version {number} of the rules of {project} decides from now on.")
    _say(f"Older files that are still on a scanner: `kspace backfill --project {project} --since DATE --dry-run`.")


def _say(words: str) -> None:
    console.print(words, highlight=False, markup=False, soft_wrap=True)
