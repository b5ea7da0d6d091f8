"""Kill the relay again and again: nothing is lost, nothing comes twice, nothing is damaged."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from kspace.container import journal_of
from tests.integration.relay import (
    Raw,
    Relay,
    captures_of,
    free_port,
    make,
    measurement,
    send_until_taken,
    wait_until,
)
from transfer.app.custody import verified
from transfer.app.wiring import Box
from transfer.catalog import lists, tables
from transfer.config import load_config
from transfer.restore import restore
from transfer.sandbox import Faults, Sandbox, SandboxSettings

_FILES = 20
_KILLS = 30
_SEED = 20260105
_KSPACE = Path(sys.executable).with_name("kspace")


@contextmanager
def _life(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `kspace serve`, and kill it at the end without a word."""
    with (config.parent / "log").open("ab") as log:
        process = subprocess.Popen([_KSPACE, "serve", "-c", config], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _number_of_starts(log: Path) -> int:
    return log.read_bytes().count(b"engine.started") if log.exists() else 0


def _live_and_die(config: Path, *, random_: random.Random) -> bool:
    """Live for a random while; return whether the engine had begun. A third of the lives end while starting."""
    log = config.parent / "log"
    before = _number_of_starts(log)
    with _life(config) as process:
        if random_.random() > 1 / 3:
            wait_until(lambda: _number_of_starts(log) > before, within_s=30, told=lambda: log.read_text()[-2000:])
        threading.Event().wait(random_.uniform(0.3, 1.3))
        assert process.poll() is None, "the relay ended by itself: " + log.read_text()[-2000:]
    return _number_of_starts(log) > before


def _make(folder: Path, number: int) -> Raw:
    """Make the file of a number: two scanners, two studies each, every file with its own series."""
    baseline = "VB" if number % 2 else "XA"
    study = 1 + number // 2 % 2
    share = folder / ("trio" if baseline == "VB" else "cima")
    twix = measurement(number, baseline=baseline, study=study, readouts=80 + 5 * number)
    return make(share / f"meas_MID{number:05}.dat", twix, study=study)


@pytest.mark.slow
def test_thirty_kills_and_a_bad_network_cost_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chances = Faults(seed=_SEED, drop_before=0.01, drop_after=0.01, drop_within=0.01, refuse=0.01, gateway_timeout=0.01)
    random_ = random.Random(_SEED)
    calm = Faults(seed=_SEED, drop_before=0.002, drop_after=0.002, refuse=0.002)
    with Sandbox(tmp_path / "archive", SandboxSettings(faults=chances)) as sandbox, ThreadPoolExecutor(4) as senders:
        relay = Relay(
            folder=tmp_path,
            urls={"sandbox": sandbox.url},
            scanners=("trio", "cima"),
            port=free_port(),
            limit=20,
            part_bytes=100_000,
        )
        config = relay.write()
        raws: list[Raw] = []
        sent: list[Future[int]] = []
        working_lives = 0
        for life in range(_KILLS):
            if life < _FILES:
                raws.append(_make(tmp_path, life + 1))
                sent.append(senders.submit(send_until_taken, raws[-1].images, relay.port, within_s=100))
            working_lives += _live_and_die(config, random_=random_)
        box = Box(load_config(config))
        done_under_fire = Counter(c["state"] for c in captures_of(box.database).values())
        httpx.put(f"{sandbox.url}/sandbox/faults", json=calm.model_dump()).raise_for_status()
        with _life(config):
            wait_until(
                lambda: [c["state"] for c in captures_of(box.database).values()] == ["retired"] * _FILES,
                within_s=60,
                told=lambda: _told(box),
            )
        associations = [tries.result(timeout=1) for tries in sent]
        log = httpx.get(f"{sandbox.url}/sandbox/log").json()
        httpx.put(f"{sandbox.url}/sandbox/faults", json={}).raise_for_status()
        parts = _assert_each_once_and_whole(box, raws, sandbox.url, tmp_path)
        box.close()
    text = (tmp_path / "log").read_text()
    assert "stage.broke" not in text
    assert "Traceback" not in text
    with capsys.disabled():
        played = {s: sum(r["status"] == s for r in log) for s in (0, 503, 504)}
        sys.stdout.write(
            f"\n{_KILLS} kills, {working_lives} of them with the engine at work; {_FILES} files in {parts} parts; "
            f"when the last life began: {dict(done_under_fire)}; {len(log)} requests, without an answer {played[0]}, "
            f"503: {played[503]}, 504: {played[504]}; DICOM in {sum(associations)} associations\n"
        )
    assert working_lives >= _KILLS / 2
    assert all(played.values()), "a fault was never played, so nothing was proved about it"


def _told(box: Box) -> object:
    with box.database.read() as connection:
        left = [(r["path"], r["state"], r["reason"]) for r in lists.captures(connection) if r["state"] != "retired"]
        return left, [(d["kind"], d["state"], d["reason"]) for d in lists.deliveries(connection) if d["reason"]]


def _assert_each_once_and_whole(box: Box, raws: list[Raw], url: str, folder: Path) -> int:
    """Judge by the archive's own listing and bytes, and by restored files; return the number of parts."""
    captures = captures_of(box.database)
    assert {c["sha256"] for c in captures.values()} == {r.sha256 for r in raws}
    expected: dict[str, set[str]] = {}
    parts = 0
    with httpx.Client(base_url=url, auth=("reader", "reader")) as reader:
        for raw in raws:
            with box.database.read() as connection:
                story = lists.story(connection, captures[raw.path.name]["id"])
                (delivery,) = story["deliveries"]
                receipts = select(func.count()).where(tables.receipt.c.delivery_id == delivery["id"])
                assert connection.execute(receipts).scalar() == 1
            assert delivery["state"] == "verified"
            (custody,) = verified(box, story["id"])
            assert custody.sha256 == raw.sha256
            names = [p["name"] for p in delivery["parts"]] + ["delivery.json", "manifest.json", "receipt.json"]
            expected.setdefault(custody.place, set()).update(f"{custody.folder}/{name}" for name in names)
            for part in delivery["parts"]:
                stored = reader.get(f"{custody.place}/files/{custody.folder}/{part['name']}").raise_for_status().content
                assert hashlib.md5(stored, usedforsecurity=False).hexdigest() == part["md5"]
            assert len(delivery["parts"]) > 1
            parts += len(delivery["parts"])
            kept = {"place": custody.place, "folder": custody.folder, "sha256_expected": custody.sha256}
            back = folder / "back" / raw.path.name
            back.parent.mkdir(exist_ok=True)
            restore(custody.archive, **kept, target=back)
            assert back.read_bytes() == raw.path.read_bytes()
        for place, names in expected.items():
            rows = reader.get(f"{place}/files", params={"format": "json"}).json()["ResultSet"]["Result"]
            assert Counter(r["URI"].partition("/files/")[2] for r in rows) == Counter(names)
    return parts


def _kept_bytes(journal: Path) -> int:
    """Return how many source bytes the whole lines of a journal stand for."""
    whole = journal.read_bytes().rpartition(b"\n")[0].splitlines() if journal.exists() else []
    return sum(json.loads(line)["raw_bytes"] for line in whole[1:])  # the first line names the file


def _spoil_beginning(path: Path, size: int) -> None:
    """Overwrite bytes without a trace in size and time of change: reading them again would give another file."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(os.urandom(size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
def test_a_kill_while_packing_never_reads_the_scanner_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        relay = Relay(
            folder=tmp_path, urls={"sandbox": sandbox.url}, port=free_port(), limit=80, chunk_bytes=1 << 20,
            part_bytes=8_000_000,
        )  # fmt: skip
        config = relay.write()
        raw = make(tmp_path / "scanner" / "meas.dat", measurement(1, readouts=3_600, channels=8))
        size = raw.path.stat().st_size
        journal = journal_of(tmp_path / "relay" / "spool" / "00000001.packed")
        kept: list[int] = []
        for fraction in (0.2, 0.5, 0.8):
            with _life(config):
                wait_until(lambda least=size * fraction: _kept_bytes(journal) >= least, within_s=30)  # type: ignore[misc]
            kept.append(_kept_bytes(journal))
            assert kept[-1] < size, "the file was packed before the kill, so nothing was proved"
            _spoil_beginning(raw.path, kept[-1])
        box = Box(load_config(config))
        with _life(config):
            send_until_taken(raw.images, relay.port, within_s=30)
            wait_until(lambda: [c["state"] for c in captures_of(box.database).values()] == ["retired"], within_s=60)
        (custody,) = verified(box, 1)
        back = tmp_path / "back.dat"
        kept_at = {"place": custody.place, "folder": custody.folder, "sha256_expected": raw.sha256}
        restore(custody.archive, **kept_at, target=back)
        box.close()
    assert hashlib.sha256(back.read_bytes()).hexdigest() == raw.sha256
    assert hashlib.sha256(raw.path.read_bytes()).hexdigest() != raw.sha256
    with capsys.disabled():
        sys.stdout.write(f"\n{size} bytes, killed with {kept} of them in the journal; none was read twice\n")
