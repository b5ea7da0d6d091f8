"""DELIVERED -> RETIRED: every destination proved that it holds the capture; the spool may forget it."""

from collections.abc import Callable
from datetime import timedelta

from kspace.clock import Clock
from transfer.records import Capture, Done, Later, Outcome, Retired


def retire(capture: Capture, *, clock: Clock, keep_s: float, must_go: Callable[[int], bool]) -> Outcome:
    """Let go of the packed file after its time, or before where its room is needed.

    `transfer.feeds.sweep` is the one place that deletes it.
    """
    left_s = (capture.since_at + timedelta(seconds=keep_s) - clock.now()).total_seconds()
    is_kept = left_s > 0 and not must_go(capture.id)
    return Later("Verified; kept in the spool for a while.", left_s) if is_kept else Done(Retired())
