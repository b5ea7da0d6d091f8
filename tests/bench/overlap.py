"""How captures overlap: while one is sent the next is packed: ``python -m tests.bench.overlap [--captures 10]``.

A relay of its own process takes practice files of 1 GB off a share and delivers them to a sandbox, both ends held to
``--mbit`` by the relay's own limiters, and the sandbox probed, so that its digests are believed. One file first goes
alone: that is the latency of one capture. Then all others lie there at once. Told is the time from the first being
settled to the last being verified, against the larger of total reading and total sending at that rate plus the latency.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from tests.bench.memory import _KSPACE, _answers, _running, _state
from tests.integration.relay import Relay, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.config import load_config

_READOUT_BYTES = 192 + 32 * (32 + 8 * 512)
_LONG_S = 1800.0
_BEFORE = {"found"}


def timed(box: Box, names: list[str]) -> float:
    """Return the seconds from the first of the files being settled to the last being verified."""
    wait_until(lambda: any(_state(box, name) not in _BEFORE for name in names), within_s=_LONG_S)
    began = time.monotonic()
    wait_until(lambda: all(_state(box, name) in {"delivered", "retired"} for name in names), within_s=_LONG_S)
    return time.monotonic() - began


def stored(box: Box) -> dict[str, int]:
    """Return by path how many bytes each file was packed to."""
    with box.database.read() as connection:
        return {row["path"]: row["stored_bytes"] for row in lists.captures(connection, limit=1000)}


def main() -> None:
    """Deliver one file, then many, and print how long it took beside what the lines alone would take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=10)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of each capture")
    parser.add_argument("--mbit", type=float, default=1000.0)
    given = parser.parse_args()
    rate = given.mbit * 1e6 / 8
    with tempfile.TemporaryDirectory(prefix="overlap-") as name, ExitStack() as stack:
        folder, port, listening = Path(name), free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        relay = Relay(
            folder=folder, urls={"central": url}, port=listening, limit=int(given.mbit), chunk_bytes=16_777_216,
            part_bytes=256_000_000, timeout_s=600, keep_s=86_400,
            more={"central": f"limit_mbit_per_s = {given.mbit}"},
        )  # fmt: skip
        config = relay.write()
        stack.enter_context(_running(_KSPACE, "sandbox", folder / "archive", "--port", port))
        wait_until(lambda: _answers(url), within_s=60)
        probe = [_KSPACE, "check", "--destination", "central", "--probe", "--project", "DEMO", "-c", config]
        subprocess.run([str(word) for word in probe], check=True, stdout=subprocess.DEVNULL)
        box = stack.enter_context(closing(Box(load_config(config))))
        stack.enter_context(_running(_KSPACE, "serve", "-c", config))
        readouts = int(given.gigabytes * 1e9 / _READOUT_BYTES)
        took: list[float] = []
        for numbers in (range(1, 2), range(2, given.captures + 2)):
            made = []
            for number in numbers:
                twix = measurement(number, study=number, readouts=readouts, channels=32, samples=512)
                made.append(make(folder / "made" / f"{number}.dat", twix, study=number))
                send_until_taken(made[-1].images, listening, within_s=60)
            for raw in made:
                raw.path.rename(folder / "scanner" / raw.path.name)
            took.append(timed(box, [raw.path.name for raw in made]))
        latency, all_s = took
        packed = stored(box)
        del packed["1.dat"]
        reading, sending = sum(f.stat().st_size for f in (folder / "scanner").iterdir()), sum(packed.values())
        reading -= (folder / "scanner" / "1.dat").stat().st_size
        bound = max(reading, sending) / rate
        sys.stdout.write(
            f"{given.captures} captures, {reading / 1e9:.1f} GB, {sending / 1e9:.1f} GB stored, {given.mbit:g} Mbit/s: "
            f"{all_s:.1f} s from settled to verified; reading alone {reading / rate:.1f} s, sending alone "
            f"{sending / rate:.1f} s, one capture alone {latency:.1f} s; "
            f"{(all_s - latency) / bound:.2f} of the larger plus one latency\n"
        )


if __name__ == "__main__":
    main()
