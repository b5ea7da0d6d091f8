"""Runs a campaign: what strikes one connection, many files at once; what strikes everything, one file at a time."""

from collections.abc import Iterable, Iterator, Sequence
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


def campaign(folder: Path, seeds: Iterable[int], *, alone: bool = False) -> list[Cost]:
    """Deliver a file a seed through its interruption and return what each cost.

    With ``alone`` every file has a relay and an archive of its own, so that it waits for no other.

    Raises:
        AssertionError: a file is not safe, or more was sent again than one part an interruption.
    """
    worlds = list(_worlds([plan_of(seed) for seed in seeds], alone=alone))
    with ProcessPoolExecutor(2 if alone else len(worlds), mp_context=get_context("spawn")) as pool:
        running = [
            pool.submit(_one, folder / str(number), faults, at_once) for number, (faults, at_once) in enumerate(worlds)
        ]
    return [cost for one in running for cost in one.result()]


def _worlds(faults: Sequence[Fault], *, alone: bool) -> Iterator[tuple[Sequence[Fault], int]]:
    """Yield which files go through which world, and how many at once."""
    lines = [fault for fault in faults if fault.kind not in EVENTS]
    one_by_one = faults if alone else [fault for fault in faults if fault.kind in EVENTS]
    apart = len(faults) if alone else -(-len(one_by_one) // _A_WORLD)
    for number in range(apart):
        yield one_by_one[number::apart], 1
    if lines and not alone:
        yield lines, _AT_ONCE


def _one(folder: Path, faults: Sequence[Fault], at_once: int) -> list[Cost]:
    world = World(folder, faults, at_once=at_once)
    with world.delivered(within_s=60 + _A_FILE_S * len(faults)) as box:
        return judge(world, box)
