"""Runs a campaign: what strikes one connection, many files at once; what strikes everything, one file at a time."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.campaign.judge import Cost, judge
from tests.campaign.plan import EVENTS, Fault, plan_of
from tests.campaign.world import World

_AT_ONCE = 6
_A_WORLD = 50
"""How many files at most are struck one after the other in one world; of such worlds several run side by side."""
_A_FILE_S = 20.0
"""How long is waited for one file on the busiest machine; a campaign that hangs ends by this alone."""


def campaign(folder: Path, seeds: Iterable[int]) -> list[Cost]:
    """Deliver a file a seed through its interruption and return what each cost.

    Raises:
        AssertionError: a file is not safe, or more was sent again than one part an interruption.
    """
    faults = [plan_of(seed) for seed in seeds]
    events = [fault for fault in faults if fault.kind in EVENTS]
    apart = -(-len(events) // _A_WORLD) or 1
    worlds = [(events[number::apart], 1) for number in range(apart)]
    worlds += [([fault for fault in faults if fault.kind not in EVENTS], _AT_ONCE)]
    with ProcessPoolExecutor(len(worlds), mp_context=get_context("spawn")) as pool:
        running = [
            pool.submit(_one, folder / str(number), own, at_once) for number, (own, at_once) in enumerate(worlds) if own
        ]
    return [cost for one in running for cost in one.result()]


def _one(folder: Path, faults: Sequence[Fault], at_once: int) -> list[Cost]:
    world = World(folder, faults, at_once=at_once)
    with world.delivered(within_s=60 + _A_FILE_S * len(faults)) as box:
        return judge(world, box)
