"""`kspace rules`: what projects want captured, version by version."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from kspace.errors import BadInput
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, open_box, print_json
from transfer.catalog.rulebook import Version
from transfer.rulefile import differences, to_toml

Project = Annotated[str, typer.Argument(help="The project's id in the archive.", metavar="PROJECT")]
_LONGEST = 64


def list_(
    project: Annotated[str | None, typer.Argument(help="Its versions, instead of all projects.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the projects that have rules, or the versions of one project."""
    box = open_box(config)
    with box.database.read() as connection:
        known = box.rules.projects(connection)
        found = sorted(known.values(), key=lambda one: one.project)
        if project is not None:
            found = box.rules.versions(connection, project)
    box.close()
    if as_json:
        print_json([_plain(one) for one in found])
        return
    for one in found:
        _say(one.project, _about(one), f"{len(one.wishes)} rule{'' if len(one.wishes) == 1 else 's'}.", one.comment)
    if not found:
        console.print("No project has rules: files are inventoried, nothing is captured.")


def show(
    project: Project,
    version: Annotated[int | None, typer.Option(help="An older one; 0 is the configuration's.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show a project's rules in their order: the first that fits decides."""
    found = _version(config, project, version)
    if as_json:
        print_json(_plain(found))
        return
    _say(project, _about(found), found.comment)
    for number, wish in enumerate(found.wishes, start=1):
        needs = ", with what its reconstruction needs" if wish.dependencies else ""
        _say(f"{number}. {wish.name}: {wish.action} {', '.join(wish.protocols)} on {wish.scanner}{needs}")
    if not found.wishes:
        console.print("There are none: files are inventoried, nothing is captured for it.")


def export(
    project: Project,
    version: Annotated[int | None, typer.Option(help="An older one; 0 is the configuration's.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print a project's rules as TOML."""
    found = _version(config, project, version)
    typer.echo(to_toml(found.wishes, heading=f"Rules of {project}, {_about(found)}"), nl=False)


def diff(
    project: Project,
    old: Annotated[int, typer.Argument(help="A version; 0 is the configuration's.")],
    new: Annotated[int | None, typer.Argument(help="Another; by default the one in force.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare two versions of a project's rules."""
    found = differences(_version(config, project, old).wishes, _version(config, project, new).wishes)
    if as_json:
        print_json(found)
        return
    changed = [one for one in found if one["what"] != "same"]
    for one in changed:
        _say(f"{one['what']}: {one['name']}", *(f"{f['field']} {f['old']} -> {f['new']}" for f in one["fields"]))
    if not changed:
        console.print("The two say the same.")


def _version(config: Path, project: str, number: int | None) -> Version:
    box = open_box(config)
    with box.database.read() as connection:
        found = box.rules.version(connection, named(project), number)
    box.close()
    return found


def named(project: str) -> str:
    """Return what may be a project's id.

    Raises:
        BadInput: it cannot be one.
    """
    if not project.strip() or len(project) > _LONGEST or not project.isprintable():
        raise BadInput("That is no project's id. Nothing was changed.")
    return project


def _about(one: Version) -> str:
    if one.at is None:
        return "by the relay's configuration:"
    return f"version {one.version}, {one.at:%Y-%m-%d %H:%M} UTC by {one.actor}:"


def _plain(one: Version) -> dict[str, Any]:
    return asdict(one) | {"wishes": [wish.model_dump(mode="json") for wish in one.wishes]}


def _say(*words: str) -> None:
    console.print(" ".join(word for word in words if word), highlight=False, markup=False, soft_wrap=True)
