"""How fast the line to an XNAT is, by files in a scratch session, as a probe makes one."""

import time
from concurrent.futures import ThreadPoolExecutor

from transfer.destinations import Body
from transfer.destinations.timing import Line
from transfer.destinations.xnat.bench import Bench
from transfer.destinations.xnat.client import XnatClient


def time_upload(client: XnatClient, body: Body, *, project: str, at_once: int) -> Line:
    """Send a body so many times at the same time, each to a resource of its own.

    Raises:
        DestinationError: XNAT, or the line to it, gave up.
    """
    bench = Bench(client, project)

    def send(number: int, what: Body) -> None:
        path = f"{bench.experiment}/resources/SPEED-{number}/files/speed.bin"
        client.send("PUT", path, what, fields={}, params={"overwrite": "true"})

    with bench.cleared(), ThreadPoolExecutor(at_once) as threads:
        began = time.monotonic()
        list(threads.map(lambda number: send(number, body), range(at_once)))
        rate = body.size * at_once / (time.monotonic() - began)
        for number in range(at_once):
            send(number, Body.of(b""))  # where nothing may be deleted, it shall take no room
    return Line(bytes_per_s=rate, left=tuple(bench.left))
