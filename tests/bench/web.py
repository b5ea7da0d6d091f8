"""Times the pages at 100,000 captures: `python -m tests.bench.web [postgresql+psycopg://…]`.

The catalog is that of `tests.bench.ledger`, larger: sessions of ten series and twelve raw files each. What is printed
is how long an answer takes over the loopback, the best of five, beside that of a file that asks the catalog nothing.
A scanner's MIDs start anew after 1,200. Without a URL it is SQLite in a temporary folder.
"""

import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console

from tests.bench.ledger import fill
from tests.integration.webworld import LOCAL_PASSWORD, Browser
from transfer.app.web.server import WebServer
from transfer.app.web.signin import LOCAL, hashed
from transfer.app.wiring import Box
from transfer.config import Config

SESSIONS = 100_000 // 12
PLACES = (
    "/static/relay.css",
    "/",
    "/sessions",
    "/sessions?text=e4000",
    "/sessions?project=P&scanner=prisma",
    "/sessions?badge=needs+a+person",
    "/sessions?since=2026-03-02&until=2026-03-03",
    "/sessions/4000",
    "/captures/48001",
    "/alerts",
)


def _took_ms(browser: httpx.Client, place: str) -> tuple[float, int]:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        answer = browser.get(place).raise_for_status()
        best = min(best, time.perf_counter() - started)
    return best * 1e3, len(answer.content)


def main(folder: Path, url: str | None) -> None:
    """Fill a catalog and print how long each page takes."""
    (folder / "hash").write_text(hashed(LOCAL_PASSWORD))
    relay = {"name": "box", "folder": folder / "relay", **({"catalog": url} if url else {})}
    web = {"bind": "127.0.0.1:0", "local_admin": {"file": folder / "hash"}}
    box = Box(Config.model_validate({"relay": relay, "web": web}))
    with box.database.write() as connection:
        fill(connection, sessions=SESSIONS, anew_after=100)
    server, out = WebServer(box), Console()
    server.start()
    with Browser(server) as browser:
        browser.sign_in("admin", LOCAL_PASSWORD, where=LOCAL)
        for place in PLACES:
            took, size = _took_ms(browser, place)
            out.print(f"{place}: {took:.0f} ms, {size / 1000:.0f} kB", highlight=False)
    server.stop()
    box.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), sys.argv[1] if len(sys.argv) > 1 else None)
