"""Quick looks at what lies packed in the spool: drawn once in a limited child process, kept for the page."""

import json
import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.records import PoolMode
from kspace.container import unpack
from kspace.errors import BadInput, SpoolError
from kspace.manifest import read_manifest
from kspace.preview.quicklook import quick_look
from transfer.app.wiring import Box
from transfer.catalog.loading import load_capture
from transfer.records import Capture

_LARGEST = 4_000_000_000
"""Bytes of a raw file that is unpacked for a picture."""
_KEPT = 1000
_STALE_S = 3600.0
_NOT_HERE = "There is no quick look: what was packed of it is not on this machine (any more). Nothing else is affected."


@dataclass(frozen=True, slots=True)
class Look:
    """A picture, and what stands out in it."""

    png: bytes
    told: dict[str, Any]


class QuickLooks:
    """The quick looks of one machine; one is drawn at a time, so that capturing has the other cores."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._folder = box.config.relay.folder / "quick-looks"
        self._turn = threading.Lock()

    def can_draw(self, capture: Capture) -> bool:
        """Return whether its packed bytes are here, whole, and not too many."""
        is_whole = capture.audit is not None and capture.audit.verdict.is_whole
        is_fit = capture.manifest is not None and is_whole and capture.file.size <= _LARGEST
        return is_fit and self._packed(capture).exists()

    def find(self, capture: Capture) -> Look | None:
        """Return the picture if it was drawn."""
        png, told = self._paths(capture)
        try:
            return Look(png.read_bytes(), json.loads(told.read_bytes()))
        except (OSError, ValueError):
            return None

    def draw(self, capture_id: int) -> None:
        """Draw the picture of a capture; it takes seconds.

        Raises:
            BadInput: it cannot be drawn now.
            PreviewFailed: no reader makes a picture of it.
        """
        with self._box.database.read() as connection:
            capture = load_capture(connection, capture_id)
        if not self.can_draw(capture):
            raise BadInput(_NOT_HERE)
        if self._box.mode() is not PoolMode.NORMAL:
            raise BadInput("The relay's disk is short of room, so no picture is drawn now. Nothing else is affected.")
        if not self._turn.acquire(blocking=False):
            raise BadInput("Another picture is being drawn. Try again in a minute; nothing else is affected.")
        try:
            self._draw(capture)
        finally:
            self._turn.release()

    def _draw(self, capture: Capture) -> None:
        png, told = self._paths(capture)
        if capture.audit is None or capture.manifest is None:
            raise AssertionError("only what was packed is drawn")
        self._folder.mkdir(exist_ok=True)
        for left in self._folder.glob("raw-*"):  # by a power cut, or a process that was killed
            if self._box.clock.now().timestamp() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raw-", dir=self._folder)))
            raw = folder / "raw.dat"
            if not stack.enter_context(self._box.pools[0].room_for(raw, capture.file.size)):
                raise BadInput("There is no room on the relay's disk to unpack it for a picture. Nothing is affected.")
            try:
                with self._packed(capture).open("rb") as packed, raw.open("wb") as out:
                    for block in unpack(read_manifest(capture.manifest).chunks, packed.read):
                        out.write(block)
            except (OSError, SpoolError):
                raise BadInput(_NOT_HERE) from None
            look = quick_look(raw, audit=capture.audit)
        shown = ("kind", "lines", "missing_lines", "dead_channels", "spiking_channels")
        found = {name: getattr(look, name) for name in shown} | {"channels": len(look.noise)}
        png.write_bytes(look.png)
        told.write_text(json.dumps(found), encoding="ascii")
        for old in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(".png").unlink(missing_ok=True)

    def _packed(self, capture: Capture) -> Path:
        return self._box.config.relay.spool / capture.spooled

    def _paths(self, capture: Capture) -> tuple[Path, Path]:
        name = self._folder / f"{capture.id:08d}-{(capture.sha256 or '')[:12]}"
        return name.with_suffix(".png"), name.with_suffix(".json")
