"""How much memory a large file takes on its way: ``python -m tests.bench.memory --gigabytes 20``.

A relay of its own process takes a practice file off a share, packs, joins and plans it, sends it to a sandbox and reads
every byte back as proof; then `kspace restore` fetches it. For each step the process's peak is told above what it had
before, idle, after a small file went the same way; of the restore, above that of the small file. The large file is one
practice measurement fifty times, with random samples, which no codec shortens, so that all of it is sent. It needs
three times its size on the disk; on the share it is removed once it is packed, in the spool once it is proved.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from struct import pack

import httpx
import numpy as np

from kspace.twix.layout import DIRECTORY_BYTES
from kspace.twix.synthetic import _SLOT
from tests.integration.relay import Relay, captures_of, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.config import load_config

_KSPACE = Path(sys.executable).with_name("kspace")
_READOUT_BYTES = 192 + 32 * (32 + 8 * 512)
_TIMES = 50
_LONG_S = 7200.0


@contextmanager
def _running(*command: object) -> Iterator[int]:
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _scramble(path: Path, readouts: int) -> None:
    """Put random bits into every sample of a file of one measurement."""
    raw = np.memmap(path, np.uint8, "r+")
    begin = _SLOT.unpack_from(raw, 8)[2]
    begin += int.from_bytes(raw[begin : begin + 4].tobytes(), "little")
    blocks = raw[begin : begin + readouts * _READOUT_BYTES].reshape(readouts, _READOUT_BYTES)[:, 192:]
    random = np.random.default_rng(1)
    for block in blocks:
        block.reshape(32, -1)[:, 32:] = random.integers(0, 256, (32, 8 * 512), np.uint8)
    raw.flush()


def _repeat(path: Path, times: int) -> None:
    """Make one file of many measurements out of a file of one, without keeping it in memory."""
    whole = path.with_suffix(".whole")
    with path.open("rb") as one, whole.open("wb") as many:
        slot = list(_SLOT.unpack_from(one.read(DIRECTORY_BYTES), 8))
        size = path.stat().st_size - slot[2]
        slots = [_SLOT.pack(*slot[:2], slot[2] + size * number, *slot[3:]) for number in range(times)]
        many.write((pack("<II", 0, times) + b"".join(slots)).ljust(DIRECTORY_BYTES, b"\0"))
        for _ in range(times):
            one.seek(slot[2])
            shutil.copyfileobj(one, many, 1 << 20)
    whole.rename(path)


def _megabytes(pid: int, what: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) * 1024 / 1e6


def _state(box: Box, name: str) -> str:
    """Return the step a file is at: the capture's state, and while it is on its way the delivery's."""
    capture = captures_of(box.database).get(name)
    if capture is None:
        return "found"
    with box.database.read() as connection:
        own = lists.deliveries(connection, capture_id=capture["id"], kind="raw")
    return own[0]["state"] if own and capture["state"] == "planned" else capture["state"]


STEPS = {"settled": "pack", "matched": "plan", "queued": "send", "sent": "verify"}


def deliver(box: Box, pid: int, share: Path, made: Path) -> Iterator[tuple[str, float, float]]:
    """Put a file on the share and yield each step of its delivery, its seconds and its peak, once it is done."""
    made.rename(share / made.name)
    state, began, until = "found", time.monotonic(), time.monotonic() + _LONG_S
    while state != "retired":
        wait_until(lambda now=state: _state(box, made.name) != now, within_s=until - time.monotonic())  # type: ignore[misc]
        if state in STEPS:
            yield STEPS[state], time.monotonic() - began, _megabytes(pid, "VmHWM")
        state, began = _state(box, made.name), time.monotonic()
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew (proc(5))
        if state in {"packed", "matched"}:
            (share / made.name).unlink(missing_ok=True)


def restored(config: Path, capture_id: int, target: Path) -> tuple[float, float]:
    """Fetch a capture back and remove it; return the seconds, and the process's peak in MB."""
    began = time.monotonic()
    process = subprocess.Popen([_KSPACE, "restore", str(capture_id), "-o", target, "-c", config])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "it did not come back"
    target.unlink()
    return time.monotonic() - began, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Deliver a small file, then a large one, fetch both, and print what the large one took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as name, ExitStack() as stack:
        folder, port, listening = Path(name), free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        relay = Relay(
            folder=folder, urls={"central": url}, port=listening, limit=100_000, chunk_bytes=16_777_216,
            part_bytes=256_000_000, timeout_s=600,
        )  # fmt: skip
        config = relay.write()
        stack.enter_context(_running(_KSPACE, "sandbox", folder / "archive", "--port", port))
        wait_until(lambda: _answers(url), within_s=60)
        box = stack.enter_context(closing(Box(load_config(config))))
        pid = stack.enter_context(_running(_KSPACE, "serve", "-c", config))
        small = 0.0
        for number, times in ((1, 1), (2, _TIMES)):
            readouts = int(given.gigabytes * 1e9 / _TIMES / _READOUT_BYTES)
            twix = measurement(number, study=number, readouts=readouts, channels=32, samples=512)
            raw = make(folder / "made" / f"{number}.dat", twix, study=number)
            _scramble(raw.path, readouts)
            _repeat(raw.path, times)
            sys.stdout.write(f"{raw.path.stat().st_size:,} bytes:\n")
            send_until_taken(raw.images, listening, within_s=60)
            idle = _megabytes(pid, "VmRSS")
            for step, seconds, peak in deliver(box, pid, folder / "scanner", raw.path):
                sys.stdout.write(f"{step}: {seconds:.0f} s, peak {peak - idle:.0f} MB above the {idle:.0f} MB before\n")
                sys.stdout.flush()
            seconds, peak = restored(config, number, folder / "back.dat")
            small = small or peak
            sys.stdout.write(
                f"restore: {seconds:.0f} s, peak {peak - small:.0f} MB above the small file's {small:.0f}\n"
            )
            sys.stdout.flush()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
