"""`kspace demo`: see the whole way work, in a minute, with nothing but this program."""

import json
import signal
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.live import Live
from rich.table import Table

from kspace.clock import SystemClock
from kspace.errors import BadInput
from transfer.app.cli.options import console
from transfer.app.demo import DemoFailed, Demonstration, Line
from transfer.app.log import set_up_logs
from transfer.app.practice import RAW_FILES

_WITHIN_S = 60.0


def demo(
    is_kept: Annotated[bool, typer.Option("--keep", help="Leave it running, to look at; Ctrl-C ends it.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Work here instead of in a temporary folder.")] = None,
) -> None:
    """See the whole way work, with nothing but this program.

    Four raw files of a practice scanner go into a practice archive, each is proved, and one is restored. Exit code 0
    only if every file ended as it must.
    """
    set_up_logs("text", is_quiet=True)
    with tempfile.TemporaryDirectory(prefix="kspace-demo-") as temporary:
        stop = threading.Event()
        place = folder.resolve() if folder else Path(temporary)
        if place.exists() and any(place.iterdir()):
            raise BadInput(f"{place} is not empty; name a new folder, so that nothing of yours is touched.")
        demonstration = Demonstration(place, clock=SystemClock(stop))
        with demonstration.running():
            console.print(
                f"Archive: the sandbox at {demonstration.url} (behaves like an XNAT, and is none)", soft_wrap=True
            )
            console.print(f"Scanner: a share with {len(RAW_FILES)} raw files, and their DICOM")
            asked, surprises = demonstration.probe()
            console.print(f"Probe:   {asked} questions to the archive, {surprises} answered unlike a known XNAT")
            accepted = demonstration.send_dicom()
            console.print(f"C-STORE: {accepted} images sent to the relay's DICOM listener, all accepted")
            with Live(console=console, refresh_per_second=8, transient=True) as live:
                demonstration.wait(within_s=_WITHIN_S, tell=lambda states: live.update(_moving(states)))
            lines = demonstration.lines()
            console.print(_table(lines))
            for line in lines:
                console.print(_why(line), highlight=False)
            name, digest = demonstration.restore_one()
            console.print(f"Restored {name} from the archive: byte-identical, SHA-256 {digest}")
            wrong = [line.file.name for line in lines if not line.is_as_it_must_be]
            if wrong:
                raise DemoFailed(f"Not as it must be: {', '.join(wrong)}.")
            if is_kept:
                _keep(demonstration, stop)


def _moving(states: dict[str, str]) -> Table:
    table = Table("Raw file", "State", box=None)
    for name, state in sorted(states.items()):
        table.add_row(name, state)
    return table


def _table(lines: list[Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("Raw file", "Ended", "Scan", "Bytes", "Parts", "Archive saw", "Receipt"):
        table.add_column(name, no_wrap=True, justify="right" if name in {"Bytes", "Parts"} else "left")
    for line in lines:
        story = line.story
        sent = story["deliveries"][0] if story["deliveries"] else None
        table.add_row(
            line.file.title.removeprefix("MID "),
            "verified" if line.file.is_delivered else story["state"],
            _scan(sent["place"]) if sent else "-",
            f"{story['size']:,}",
            f"{len(sent['parts'])} ({story['stored_bytes'] / story['size']:.0%})" if sent else "-",
            *(_seen(sent["receipt"]) if sent else ("-", "-")),
        )
    return table


def _scan(place: str) -> str:
    return place.partition("/scans/")[2].partition("/")[0] or "session"


def _seen(receipt: str) -> tuple[str, str]:
    """Return the digest that the archive showed of the first part, and the receipt's signature, both shortened."""
    said = json.loads(receipt)
    digests = [f["digest"] for name, f in said["receipt"]["files"].items() if name.endswith("part-00001.bin")]
    return f"{digests[0][:12]}…", f"{said['signature'][:6]}…"


def _why(line: Line) -> str:
    story = line.story
    decided = [d["reason"] for d in story["decisions"][:1]]
    joined = [m["reason"] for m in story["matches"][-1:]]
    return f"[bold]{line.file.title}[/]: " + " ".join([*decided, *joined] if joined or decided else [story["reason"]])


def _keep(demonstration: Demonstration, stop: threading.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # also where it was started with them ignored, as in a script
        signal.signal(number, lambda *_: stop.set())
    console.print(f"Still running. Look at {demonstration.url} or, in another terminal:")
    console.print(f"  kspace status -c {demonstration.config_path}", soft_wrap=True)
    stop.wait()
    console.print("Ended.")
