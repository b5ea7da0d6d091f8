"""`kspace route FILE|FOLDER`: where images would go, and why. Nothing is sent, and nothing is remembered."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kspace.errors import BadInput, NotFound
from transfer.app.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, console, print_json
from transfer.app.rawfile import printable
from transfer.app.rehearsal import rehearse
from transfer.config import load_config


def route(
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="A DICOM file, or a folder of them.")],
    config: ConfigPath = DEFAULT_CONFIG,
    called_ae: Annotated[str | None, typer.Option(help="The AE title they would be sent to; usually our own.")] = None,
    calling_ae: Annotated[str, typer.Option(help="The AE title they would be sent by.")] = "ANY",
    as_json: AsJson = False,
) -> None:
    """Show where images would go and why, by the configuration as it stands; nothing is sent."""
    if not path.exists():
        raise NotFound(f"There is no {printable(str(path))}.")
    loaded = load_config(config)
    called = called_ae or loaded.dicom[0].ae_title
    found, unread = rehearse(path, loaded.route, called_ae=called, calling_ae=calling_ae)
    if not found:
        raise BadInput(f"There is no DICOM image in {printable(str(path))}.")
    if as_json:
        print_json({"studies": found, "not read": unread})
        return
    for line in (line for one in found for line in _lines(one)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if unread:
        console.print(f"{unread} files are no DICOM images.", highlight=False)


def _lines(one: dict[str, Any]) -> list[str]:
    lines = [f"study of {one['date'] or 'no date'}, {one['images']} images in {len(one['series'])} series"]
    lines += [f"    {target['words']}" for target in one["targets"]] or [f"    goes nowhere: {one['problem']}"]
    lines += [f"        {said}" for said in one["why"]]
    for series in one["series"]:
        kept = "".join(f"; not to {name}: {why}" for name, why in series["kept"].items())
        name = printable(series["description"] or "-")
        lines.append(f"    series {series['number']} {name}: {series['images']} images{kept}")
    return lines
