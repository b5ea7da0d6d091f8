"""`kspace inspect FOLDER`: what raw files lie in a folder, and is each whole?"""

import csv
import io
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kspace.errors import BadInput, FileUnreadable, NotFound, SourceError
from kspace.records import Verdict
from kspace.twix.header import is_seen
from transfer.app.cli.options import AsJson, console, print_json
from transfer.app.cli.show_file import UNSEEN
from transfer.app.rawfile import RawFile, clock_time, look_into, printable

_COLUMNS = ("file", "mid", "fid", "protocol", "sequence", "size", "channels", "start", "verdict")
_NUMBERS = {"mid", "fid", "size", "channels"}
_WORDS = {"file", "protocol", "sequence", "verdict"}
_WIDE = 100
_WIDE_ONLY = {"fid", "sequence"}
_PIPE_WIDTH = 1000
_UNREADABLE = "unreadable"
_MORE_COLUMNS = ("software", "is_seen_software", "unread", "measurements", "readouts", "samples", "position", "reason")

Row = dict[str, Any]


def inspect(
    folder: Annotated[Path, typer.Argument(help="A folder; the folders inside it are looked into as well.")],
    is_quick: Annotated[
        bool, typer.Option("--quick", help="Only the head and the end of each file: no channels and times, no holes.")
    ] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for tables elsewhere.")] = False,
) -> None:
    """List the raw files of a folder, and whether each is whole.

    Who made it, what it is, when it was scanned. Nothing is changed or sent.
    """
    if as_json and as_csv:
        raise BadInput("Choose one of --json and --csv.")
    files = _files(folder)
    rows: list[Row] = []
    with _bar() as bar:
        task = bar.add_task("", total=sum(size for _, size in files))
        for number, (path, _) in enumerate(files, 1):
            bar.update(task, description=f"{number:,} of {len(files):,} files")
            rows.append(_row(folder, path, is_quick=is_quick, progress=lambda count: bar.advance(task, count)))
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


def _bar() -> Progress:
    """Return a bar on standard error, shown only where somebody looks at it."""
    shown = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress("{task.description}", *columns, console=shown, transient=True, disable=not shown.is_terminal)


def _row(folder: Path, path: Path, *, is_quick: bool, progress: Callable[[int], object]) -> Row:
    name = printable(str(path.relative_to(folder)))
    try:
        return _told(name, look_into(path, is_quick=is_quick, progress=progress))
    except SourceError as error:
        empty = dict.fromkeys((*_COLUMNS, *_MORE_COLUMNS))
        return {**empty, "file": name, "verdict": _UNREADABLE, "reason": str(error)}


def _told(name: str, raw: RawFile) -> Row:
    scan = raw.scan
    return {
        "file": name,
        "mid": scan and scan.mid,
        "fid": scan and scan.fid,
        "protocol": scan and scan.protocol and printable(scan.protocol),
        "sequence": scan and scan.sequence and printable(scan.sequence),
        "size": raw.size,
        # A quick check reads no readout.
        "channels": scan and (scan.channels or None),
        "start": clock_time(scan.ticks[0]) if scan and scan.ticks else None,
        "verdict": raw.audit.verdict.value,
        "software": scan and scan.software and printable(scan.software),
        "is_seen_software": scan and is_seen(scan.software),
        "unread": ", ".join(sorted({name for m in raw.measurements for name in m.unread})) or None,
        "measurements": len(raw.measurements),
        "readouts": scan and (scan.readouts or None),
        "samples": scan and (scan.samples or None),
        "position": raw.audit.position,
        "reason": raw.audit.reason,
    }


def _csv(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, (*_COLUMNS, *_MORE_COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _print(rows: list[Row]) -> None:
    # In a file or a pipe no line is folded.
    out = console if console.is_terminal else Console(width=_PIPE_WIDTH)
    columns = [name for name in _COLUMNS if out.width >= _WIDE or name not in _WIDE_ONLY]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        side: Literal["left", "right"] = "right" if name in _NUMBERS else "left"
        table.add_column(name, justify=side, no_wrap=name not in _WORDS, overflow="fold")
    for row in rows:
        # Text, not strings: a name in brackets is no markup.
        table.add_row(*(Text(_cell(name, row[name])) for name in columns))
    out.print(table)
    whole = sum(Verdict(row["verdict"]).is_whole for row in rows if row["verdict"] != _UNREADABLE)
    console.print(f"{len(rows):,} files, {whole:,} of them whole raw files.", highlight=False)
    unseen = Counter(row["software"] or "no software version" for row in rows if row["is_seen_software"] is False)
    for software, count in sorted(unseen.items()):
        console.print(f"{count:,} of {software}. {UNSEEN}", highlight=False, markup=False, soft_wrap=True)


def _cell(name: str, value: Any) -> str:  # noqa: ANN401 -- a cell of any column
    if value is None:
        return "-"
    if name == "sequence":
        return str(value).rpartition("\\")[2]
    if name == "start":
        return str(value).partition(".")[0]
    return f"{value:,}" if name == "size" else str(value)
