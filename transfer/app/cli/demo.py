"""`kspace demo`: see the whole way work, in a minute, with nothing but this program."""

import json
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from kspace.clock import SystemClock
from transfer.app.cli.options import console
from transfer.app.demo import DemoFailed, Demonstration, Line
from transfer.app.log import set_up_logs
from transfer.app.practice import RAW_FILES

_WITHIN_S = 60.0


def demo(
    is_kept: Annotated[bool, typer.Option("--keep", help="Leave it running, to look at; Ctrl-C ends it.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Work here instead of in a temporary folder.")] = None,
) -> None:
    """Capture four raw files of a practice scanner into a practice archive, prove it, and restore one.

    Exit code 0 only if every file ended as it must.
    """
    set_up_logs("text", is_quiet=True)
    with tempfile.TemporaryDirectory(prefix="kspace-demo-") as temporary:
        stop = threading.Event()
        demonstration = Demonstration(folder or Path(temporary), clock=SystemClock(stop))
        with demonstration.running():
            console.print(f"Archive: the sandbox at {demonstration.url} (it behaves like an XNAT, and is none)")
            console.print(f"Scanner: a share with {len(RAW_FILES)} raw files, and their DICOM")
            accepted = demonstration.send_dicom()
            console.print(f"C-STORE: {accepted} images sent to the relay's DICOM listener, all accepted")
            with Live(console=console, refresh_per_second=8) as live:
                demonstration.wait(within_s=_WITHIN_S, tell=lambda states: live.update(_moving(states)))
            lines = demonstration.lines()
            console.print(_table(lines))
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
    table = Table(
        "Raw file", "Decided, and why", "Scan", "Bytes", "Packed", "Parts", "Seen in the archive", show_lines=True
    )
    for line in lines:
        story = line.story
        sent = story["deliveries"][0] if story["deliveries"] else None
        table.add_row(
            line.file.name.removesuffix(".dat"),
            _why(line),
            sent["place"].removeprefix("/data/experiments/") if sent else "-",
            f"{story['size']:,}",
            f"{story['stored_bytes'] / story['size']:.0%}" if story["stored_bytes"] else "-",
            str(len(sent["parts"])) if sent else "-",
            _seen(sent["receipt"]) if sent else "-",
        )
    return table


def _why(line: Line) -> str:
    story = line.story
    joined = [m["reason"] for m in story["matches"][-1:]]
    decided = [d["reason"] for d in story["decisions"][:1]]
    last = [story["reason"]] if story["state"] == "held" else []
    return f"{story['state'].upper()}. " + " ".join(last or [*decided, *joined])


def _seen(receipt: str) -> str:
    said = json.loads(receipt)
    files = said["receipt"]["files"]
    part = next(f for name, f in files.items() if name.endswith("part-00001.bin"))
    return f"{len(files)} files; first {part['digest'][:16]}…; receipt signed {said['signature'][:8]}…"


def _keep(demonstration: Demonstration, stop: threading.Event) -> None:
    console.print(f"Still running. Look at {demonstration.url} or, in another terminal:")
    console.print(f"  kspace status -c {demonstration.config_path}", soft_wrap=True)
    try:
        stop.wait()
    except KeyboardInterrupt:
        console.print("Ended.")
