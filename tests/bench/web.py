"""Times the pages at 100,000 captures: `python -m tests.bench.web [postgresql+psycopg://…]`.

The catalog is that of `tests.bench.ledger`, larger: sessions of ten series and twelve raw files each. What is printed
is how long an answer takes over the loopback, the best of five, beside that of a file that asks the catalog nothing.
There are 500,000 events; a scanner's MIDs start anew after 1,200. The sessions are of the last year, one an hour;
project P has rules, and all of them are its own. Without a URL it is SQLite in a temporary folder.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console
from sqlalchemy import Connection, insert, update

from hardware.records import Reading
from tests.bench.ledger import fill
from tests.integration.webworld import LOCAL_PASSWORD, Browser
from transfer.app.web.server import WebServer
from transfer.app.web.signin import LOCAL, hashed
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.catalog.readings import write_readings
from transfer.config import Config
from transfer.rulefile import to_toml
from transfer.wishes import Wish

SESSIONS = 100_000 // 12
RULES = (Wish(name="no localizers", action="exclude", protocols=("*localizer*",)), Wish(name="gre", protocols=("g*",)))
PLACES = (
    "/static/relay.css",
    "/",
    "/sessions",
    "/sessions?text=e4000",
    "/sessions?project=P&scanner=prisma",
    "/sessions?badge=needs+a+person",
    "/sessions?since={day}&until={day}",
    "/sessions/4000",
    "/captures/48001",
    "/review",
    "/review/48001",
    "/queue",
    "/pools",
    "/alerts",
    "/projects",
    "/projects/P",
    "/projects/P/compare",
    "/alerts?history=true",
    "/settings",
    "/audit",
    "/audit?actor=central/boss&subject=capture",
    "/audit?actor=relay",
    "/tokens",
)


def crowd(connection: Connection, now: datetime) -> None:
    """Write half a million events, a hundred of people among them, and a day of readings of the pool."""
    told = {"at": now, "subject": "capture", "verb": "capture.packed"}
    for start in range(0, 500_000, 50_000):
        events = [
            told | {"subject_id": n % 100_000, "actor": "relay" if n % 5000 else "central/boss"}
            for n in range(start, start + 50_000)
        ]
        connection.execute(insert(tables.event), events)
    for minute in range(24 * 60):
        used = [Reading(what="pool_used_bytes", of="spool", value=1e9 + minute)]
        write_readings(connection, used, machine="box", at=now - timedelta(minutes=minute))


def _took_ms(ask: Callable[[], httpx.Response]) -> tuple[float, int]:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        answer = ask().raise_for_status()
        best = min(best, time.perf_counter() - started)
    return best * 1e3, len(answer.content)


def main(folder: Path, url: str | None) -> None:
    """Fill a catalog and print how long each page takes."""
    (folder / "hash").write_text(hashed(LOCAL_PASSWORD))
    relay = {"name": "box", "folder": folder / "relay", **({"catalog": url} if url else {})}
    web = {"bind": "127.0.0.1:0", "local_admin": {"file": folder / "hash"}}
    box = Box(Config.model_validate({"relay": relay, "web": web}))
    with box.database.write() as connection:
        now, hour = box.clock.now(), timedelta(hours=1)
        fill(connection, sessions=SESSIONS, anew_after=100, begin=now - SESSIONS * hour, apart=hour)
        connection.execute(update(tables.source_file).values(first_seen_at=now - timedelta(days=1)))
        crowd(connection, now)
    if not box.database.is_sqlite:
        with box.database.write() as connection:
            connection.exec_driver_sql("ANALYZE")  # what PostgreSQL does by itself a minute after so many rows came
    box.rules.save("P", RULES, after=0, comment="", actor="ann", at=now)
    server, out = WebServer(box), Console()
    server.start()
    with Browser(server) as browser:
        browser.sign_in("admin", LOCAL_PASSWORD, where=LOCAL)
        day = f"{now - timedelta(days=9):%Y-%m-%d}"
        for place in PLACES:
            asked = place.format(day=day)
            took, size = _took_ms(partial(browser.get, asked))
            out.print(f"{asked}: {took:.0f} ms, {size / 1000:.0f} kB", highlight=False)
        form = {"form": browser.form("/projects/P"), "act": "rehearse", "toml": to_toml(RULES)}
        took, size = _took_ms(partial(browser.post, "/projects/P/draft", data=form))
        out.print(f"/projects/P/draft, rehearsed: {took:.0f} ms, {size / 1000:.0f} kB", highlight=False)
    server.stop()
    box.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), sys.argv[1] if len(sys.argv) > 1 else None)
