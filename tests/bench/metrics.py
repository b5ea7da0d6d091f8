"""What asking for metrics costs with 100,000 captures: the first time, and then. `python -m tests.bench.metrics`."""

import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from transfer.app.metrics import Collector
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.config import load_config

_CAPTURES, _BATCH, _STUDIES = 100_000, 5_000, 20_000
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_STEPS = ("found", "settled", "packed", "matched", "planned", "delivered", "retired")
_CONFIG = """
[relay]
name = "box"
folder = "{folder}"

[[destination]]
name = "central"
kind = "xnat"
url = "https://xnat.example"
user = "relay"
password = {{ env = "NONE" }}
"""


def _fill(box: Box) -> None:
    work = {"since_at": _SINCE, "due_at": _SINCE}
    with box.database.write() as connection:
        seen = {"first_arrival_at": _SINCE, "last_arrival_at": _SINCE, "called_ae": "K", "calling_ae": "S"}
        studies = [{"id": n, "study_uid": f"1.{n}", "document": {}, **seen} for n in range(1, _STUDIES + 1)]
        connection.execute(insert(tables.study), studies)
        for first in range(1, _CAPTURES + 1, _BATCH):
            ids = range(first, first + _BATCH)
            connection.execute(insert(tables.source_file), [_file(n) for n in ids])
            packed = {"stored_bytes": 600_000_000, "manifest": random.randbytes(6_000), **work}
            states = {n: ("retired", "verified") if n <= _CAPTURES - 200 else ("planned", "queued") for n in ids}
            captures = [
                {"id": n, "source_file_id": n, "state": states[n][0], "sha256": f"{n:064}", **packed} for n in ids
            ]
            connection.execute(insert(tables.capture), captures)
            to = {"kind": "raw", "destination": "central", "project": "P", "verified_at": _SINCE, **work}
            deliveries = [
                {"id": n, "capture_id": n, "study_id": n % _STUDIES + 1, "state": states[n][1], **to} for n in ids
            ]
            connection.execute(insert(tables.delivery), deliveries)
            connection.execute(insert(tables.event), [event for n in ids for event in _events(n)])


def _file(number: int) -> dict[str, object]:
    at = _SINCE + timedelta(seconds=number)
    times = {"changed_at": at, "first_seen_at": at, "scope": "store", "mtime_ns": 1, "version": 1}
    of = f"scanner-{number % 3}"
    return {"id": number, "scanner": of, "source": f"{of}/1", "path": f"{number}", "size": 1_000_000_000, **times}


def _events(number: int) -> list[dict[str, object]]:
    about = {
        "at": _SINCE + timedelta(seconds=number),
        "actor": "relay",
        "subject_id": number,
        "before": "x",
        "after": "y",
    }
    verbs = [("capture", f"capture.{step}") for step in _STEPS] + [
        ("delivery", "delivery.sent"),
        ("delivery", "delivery.verified"),
    ]
    return [{"subject": subject, "verb": verb, "detail": "as usual", **about} for subject, verb in verbs]


def _ms(collector: Collector) -> float:
    began = time.perf_counter()
    collector.text()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "relay.toml"
        config.write_text(_CONFIG.format(folder=name))
        box = Box(load_config(config))
        _fill(box)
        collector = Collector(box)
        first = _ms(collector)
        later = [_ms(collector) for _ in range(30)]
        box.close()
    sys.stdout.write(
        "| asking | ms |\n|---|---|\n"
        f"| the first after a start | {first:,.0f} |\n"
        f"| later, median of 30 | {statistics.median(later):,.0f} |\n"
        f"| later, worst of 30 | {max(later):,.0f} |\n"
    )


if __name__ == "__main__":
    main()
