"""Takes the page's pictures over a catalog with very much in it: `python -m tests.browser.pictures FOLDER [little]`.

Each page as an administrator sees it, 1200 and 400 pixels wide, light and dark.
"""

import os
import shutil
import sys
import tempfile
from datetime import timedelta
from math import sin
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import insert, update

from hardware.records import Reading
from tests.integration.webworld import LOCAL_PASSWORD, add_ambiguous, add_capture, add_session, page
from transfer.app.web.signin import LOCAL
from transfer.app.wiring import Box
from transfer.catalog import tables
from transfer.catalog.notices import note, raise_alert
from transfer.catalog.readings import write_readings
from transfer.catalog.web_tables import throttle

PLACES = {
    "home": "/",
    "sessions": "/sessions",
    "session": "/sessions/1",
    "capture": "/captures/1",
    "held": "/captures/9",
    "rules": "/projects",
    "project": "/projects/HEART?weeks=52",
    "versions": "/projects/HEART/compare",
    "review": "/review",
    "weighing": "/review/500",
    "queue": "/queue",
    "disks": "/pools",
    "alerts": "/alerts",
    "settings": "/settings",
    "audit": "/audit",
    "tokens": "/tokens",
}
_STATES = ("planned", "packed", "found", "settled", "retired")
_GB = 1e9


def crowd(box: Box, folder: Path) -> None:
    """Fill the catalog with very much."""
    now, space = box.clock.now(), box.pools[0].space()
    if space is None:
        raise AssertionError("the folder's disk answers")
    with box.database.write() as connection:
        for number in range(600, 800):
            add_session(connection, number, [("HEART", "BRAIN", "LUNG")[number % 3]], state=_STATES[number % 5])
            kind, at = "capture", now - timedelta(minutes=3 * (800 - number))
            about = {"subject": kind, "subject_id": number, "verb": "capture.held", "detail": "to look at it"}
            note(connection, at=at, actor=f"central/{('anna', 'boss')[number % 2]}", **about)
        lately = {"last_arrival_at": now - timedelta(hours=3)}
        connection.execute(update(tables.study).where(tables.study.c.id > 700).values(lately))
        moved = {"lease_token": "x", "lease_until": now + timedelta(hours=1), "since_at": now - timedelta(minutes=4)}
        for number in range(600, 606):
            leased = moved | {"lease_token": str(number)}
            connection.execute(update(tables.capture).where(tables.capture.c.id == number).values(leased))
        sent = {"state": "queued", "verified_at": None, "reason": None}
        raw = (tables.delivery.c.kind == "raw") & (tables.delivery.c.capture_id > 740)
        connection.execute(update(tables.delivery).where(raw).values(sent))
        for number in range(30):
            name = "a_disk_without_a_break_" * 20 if number == 29 else f"Disk {number}"
            text = f"{name} of the pool has errors; see `kspace pools`."
            raise_alert(
                connection, key=f"disk:{number}", severity=("warning", "critical")[number % 2], text=text, at=now
            )
        for number in range(800, 815):
            name = "liver" if number < 813 else "a_very_long_protocol_name_without_a_break_" * 2
            add_capture(connection, number, name, state="settled", manifest=None, reason="The share does not answer.")
        said = {
            "what": "destination:central",
            "mbit_per_s": 40.0,
            "is_paused": True,
            "actor": "central/boss",
            "at": now,
        }
        connection.execute(insert(throttle).values(said))
        for hour in range(24 * 13, -1, -1):
            used = (1 - hour / 1000) * space.used_bytes + 2 * _GB * sin(hour / 4)
            readings = _readings(used, space.free_bytes, hour)
            write_readings(connection, readings, machine="page-box", at=now - timedelta(hours=hour))
    for number in range(500, 530):
        add_ambiguous(box, number, folder=folder)


def _readings(used: float, free: float, hour: int) -> list[Reading]:
    pool = [Reading(what="pool_used_bytes", of="spool", value=used)]
    pool += [Reading(what="pool_free_bytes", of="spool", value=free)]
    pool += [Reading(what="backlog_bytes", of=of, value=(hour % 24) * _GB) for of in ("raw files", "images")]
    disks = [Reading(what="disk_temperature_celsius", of=f"sd{x}", value=38.0 + n) for n, x in enumerate("abcd")]
    disks += [Reading(what="disk_is_healthy", of=f"sd{x}", value=float(x != "c"), said="PASSED") for x in "abcd"]
    return [*pool, *disks]


def main(folder: Path, *, is_little: bool) -> None:
    """Take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, page(Path(name)) as (server, box), sync_playwright() as driver:
        if not is_little:
            crowd(box, Path(name))
        switches = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=switches)
        for scheme in ("light", "dark"):
            for width in (1200, 400):
                size = {"width": width, "height": 800}
                tab = browser.new_page(base_url=server.url, color_scheme=scheme, viewport=size)
                _take(tab, folder, f"{width}-{scheme}", width)
        browser.close()


def _take(tab: Page, folder: Path, ending: str, width: int) -> None:
    tab.goto("/")
    tab.get_by_label("Account in").select_option(LOCAL)
    tab.get_by_label("Name", exact=True).fill("admin")
    tab.get_by_label("Password", exact=True).fill(LOCAL_PASSWORD)
    tab.get_by_role("button", name="Sign in", exact=True).click()
    for name, place in PLACES.items():
        tab.goto(place)
        wide = tab.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            sys.stderr.write(f"{place} is {wide} wide at {width}\n")
        tab.screenshot(path=folder / f"{name}-{ending}.png", full_page=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), is_little="little" in sys.argv[2:])
