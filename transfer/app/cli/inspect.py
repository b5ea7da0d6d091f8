"""`kspace inspect FOLDER`: what raw files lie in a folder, and is each whole?"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from kspace.errors import BadInput, FileUnreadable, NotFound
from transfer.app.cli.options import AsJson, print_json
from transfer.app.rawfile import printable

_COLUMNS = ("file", "mid", "fid", "protocol", "sequence", "size", "channels", "start", "verdict")
_NUMBERS = {"mid", "fid", "size", "channels"}
_MORE_COLUMNS = ("measurements", "readouts", "samples", "position", "reason")

Row = dict[str, Any]


def inspect(
    folder: Annotated[Path, typer.Argument(help="A folder; the folders inside it are looked into as well.")],
    is_quick: Annotated[
        bool, typer.Option("--quick", help="Only the head and the end of each file: no channels and times, no holes.")
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for tables elsewhere.")] = False,
) -> None:
    """List every file of a folder: who made it, what it is, and whether it is whole. Nothing is changed or sent."""
    if as_json and as_csv:
        raise BadInput("Choose one of --json and --csv.")
    files = _files(folder)
    with _progress(files) as seen:
        rows = [_row(folder, path, is_quick=is_quick, seen=seen) for path, _ in files]
    if as_json:
        print_json(rows)
    elif as_csv:
        typer.echo(_csv(rows), nl=False)
    else:
        _print(rows)


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Return every file below a folder with its size, sorted; a folder that cannot be listed stands for itself."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {printable(str(folder))}; look at its name.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise FileUnreadable(f"The folder {printable(str(folder))} may not be listed; ask for the right to read it.")
    return sorted(_found(folder))


def _found(folder: Path) -> Iterator[tuple[Path, int]]:
    closed: list[Path] = []
    for place, _, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        for path in (Path(place, name) for name in names):
            yield path, _size(path)
    yield from ((path, 0) for path in closed)


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


class _progress:  # noqa: N801 -- a context manager, used like a function
    """A bar on standard error while it takes long, if somebody looks at it; yields what counts a file's end."""

    def __init__(self, files: list[tuple[Path, int]]) -> None:
        shown = Console(stderr=True)
        columns = (MofNCompleteColumn(), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)
        self._files = files

    def __enter__(self) -> Callable[[int], None]:
        self._bar.start()
        task = self._bar.add_task("", total=sum(size for _, size in self._files))
        return lambda count: self._bar.advance(task, count)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
