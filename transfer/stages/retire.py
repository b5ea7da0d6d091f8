"""DELIVERED -> RETIRED: every destination proved that it holds the capture; the spool may forget it."""

from datetime import timedelta

from kspace.clock import Clock
from transfer.records import Capture, Done, Later, Outcome, Retired


def retire(capture: Capture, *, clock: Clock, keep_s: float) -> Outcome:
    """Let go of the packed file after its time; `transfer.feeds.sweep` is the one place that deletes it."""
    left_s = (capture.since_at + timedelta(seconds=keep_s) - clock.now()).total_seconds()
    return Later("Verified; kept in the spool for a while.", left_s) if left_s > 0 else Done(Retired())
