"""A file that is gone before it was captured: what that means, and what can still be done."""

from kspace.errors import FileVanished
from kspace.sources.settings import Scope
from transfer.catalog.listings import WITHDRAWN
from transfer.records import Capture, Held
from transfer.states import CaptureState


def vanished(capture: Capture) -> Held:
    """Hold a capture whose file is gone: lost where the source shows all the scanner has, taken away where it does not.

    It goes on by itself when the file is listed again.
    """
    if capture.scope is Scope.EXPORTS:
        return Held(
            "The file was taken out of the export folder before it was captured. That is no loss by itself: export it "
            "again while the scanner still has it.",
            WITHDRAWN,
        )
    known = "a rule wants it" if capture.state is CaptureState.SETTLED else "nobody had looked into it yet"
    return Held(
        f"Lost, unless the scanner can export it again: the file was gone before it was captured, and {known}. "
        "The log tells what kept the relay; list the share oftener (poll_s) or let it read faster (limit_mbit_per_s).",
        FileVanished.code,
    )
