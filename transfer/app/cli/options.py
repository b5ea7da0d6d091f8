"""Options and output that every verb shares."""

import getpass
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from kspace.errors import BadInput
from transfer.app.log import set_up_logs
from transfer.app.wiring import Box
from transfer.config import load_config

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="KSPACE_CONFIG", help="The relay's configuration, a TOML file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DEFAULT_CONFIG = Path("relay.toml")
LARGEST_ID = 2**31 - 1
"""A larger number is no capture's: the catalog's databases count no further."""

console = Console()


def open_box(config: Path, *, is_quiet: bool = True) -> Box:
    """Return the relay of a configuration, nothing of it started."""
    loaded = load_config(config)
    set_up_logs(loaded.log, is_quiet=is_quiet)
    return Box(loaded)


def print_json(value: Any) -> None:  # noqa: ANN401 -- whatever JSON takes
    """Print a value as JSON; instants in ISO 8601, bytes left out."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def save_picture(svg: str, path: Path) -> None:
    """Write a picture where a person wants it.

    Raises:
        BadInput: it cannot be written there, or the name is no picture's.
    """
    if path.suffix != ".svg":
        raise BadInput(f"The picture is an SVG: name it {path.stem}.svg.")
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The picture {path} cannot be written: {error.strerror}.") from error


def actor() -> str:
    """Return who is at the keyboard, for the events."""
    return getpass.getuser()


def _plain(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, bytes) else str(value)
