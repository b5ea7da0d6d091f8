"""`kspace restore`: original files back from an archive, also without the catalog that sent them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TransferSpeedColumn

from kspace.errors import BadInput, KspaceError, NotFound
from transfer.app.archived import ArchivedCapture, in_session
from transfer.app.cli.options import DEFAULT_CONFIG, LARGEST_ID, ConfigPath, console, open_box
from transfer.app.custody import Custody, held
from transfer.restore import AT_ONCE, restore_all
from transfer.restore.work import HEADER, Source, Wish


class Stopped(KspaceError):
    """A person ended it."""

    code = "stopped"
    exit_code = 130


def restore(  # noqa: PLR0913 -- a command line's options
    *,
    target: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to write, which must not exist; of a session: the folder."),
    ],
    capture_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", max=LARGEST_ID, help="The capture's number.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Instead of an ID: the archive's project.")] = None,
    session: Annotated[str | None, typer.Option(help="The session's label or id there.")] = None,
    scan: Annotated[str | None, typer.Option(help="Of this scan alone.")] = None,
    only: Annotated[str | None, typer.Option(help="`header`, or `measurement-N`, counted from 1.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="This destination alone; else all that have it.")] = None,
    keeps_damaged: Annotated[
        bool, typer.Option("--keep-damaged", help="Write what there is of a damaged file too, its holes named.")
    ] = False,
    at_once: Annotated[int, typer.Option(min=1, max=16, help="Parts to fetch at the same time.")] = AT_ONCE,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Fetch original files back from an archive.

    Byte for byte: a file appears only once its SHA-256 is that of the file on the scanner. A capture by its number; or
    with --project and --session whatever the archive holds of a session, for which no catalog is needed, only the
    configuration. The same command again goes on where one was ended.
    """
    wished = _Wished(target, _only(only), keeps_damaged)
    if keeps_damaged and only:
        raise BadInput("--keep-damaged is for whole files; leave --only out.")
    box = open_box(config)
    if capture_id is not None and not (project or session or scan):
        wishes, begun = [wished.of_capture(held(box, capture_id, source=source))], []
    elif capture_id is None and project and session:
        found = in_session(box, project=project, session=session, scan=scan, source=source)
        begun = [one for one in found.captures if not one.sources]
        wishes = [wished.of(one) for one in found.captures if one.sources]
        _make_folder(target)
        for error in found.unasked:
            typer.echo(f"{error} What only it has of the session is not restored.", err=True)
    else:
        raise BadInput("Name a capture by its number, or else a session by both --project and --session.")
    for one in begun:
        names = " and ".join(dict.fromkeys(there.name for there in one.begun))
        typer.echo(f"{one.folder}: its delivery to {names} never ended; left out.", err=True)
    code = _run(wishes, at_once=at_once)
    box.close()
    if code or begun:
        raise typer.Exit(code or NotFound.exit_code)


@dataclass(frozen=True, slots=True)
class _Wished:
    target: Path
    only: str | int | None
    keeps_damaged: bool

    def of(self, one: ArchivedCapture) -> Wish:
        return self._wish(one.folder, one.sources)

    def of_capture(self, copies: list[Custody]) -> Wish:
        sources = [Source(name=copy.destination, archive=copy.archive, place=copy.place) for copy in copies]
        return replace(self._wish(copies[0].folder, sources), sha256_expected=copies[0].sha256)

    def _wish(self, folder: str, sources: Sequence[Source]) -> Wish:
        return Wish(
            sources=tuple(sources),
            folder=folder,
            target=self.target,
            only=self.only,
            keeps_damaged=self.keeps_damaged,
        )


def _run(wishes: list[Wish], *, at_once: int) -> int:
    """Restore with a progress bar on a terminal and a line for each file; return the exit code."""
    failed: list[KspaceError] = []
    try:
        with _bar() as (bar, show):
            for ended in restore_all(wishes, at_once=at_once, progress=show):
                if ended.error is None:
                    bar.console.print(ended.said, markup=False, highlight=False, soft_wrap=True)
                else:
                    failed.append(ended.error)
    except KeyboardInterrupt:
        raise Stopped("Stopped. What was proved is kept; the same command goes on from it.") from None
    finally:
        for error in failed[: len(wishes) - 1]:
            typer.echo(str(error), err=True)
    if failed and len(failed) == len(wishes):
        raise failed[-1]
    return failed[-1].exit_code if failed else 0


@contextmanager
def _bar() -> Iterator[tuple[Progress, Callable[[Wish, int, int], None]]]:
    tasks: dict[str, TaskID] = {}
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def show(wish: Wish, done: int, of: int) -> None:
            said = f"{wish.folder} from {wish.source.name}"
            if wish.folder not in tasks:
                tasks[wish.folder] = bar.add_task(said, total=of)
            bar.update(tasks[wish.folder], description=said, completed=done)

        yield bar, show


def _only(given: str | None) -> str | int | None:
    if given is None or given == HEADER:
        return given
    number = re.fullmatch(r"(?:measurement[ =-]?)?(\d{1,3})", given)
    if number is None:
        raise BadInput("--only takes `header` or `measurement-N`, counted from 1.")
    return int(number[1])


def _make_folder(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{target} cannot be used as a folder ({error.strerror}); name another one.") from error
