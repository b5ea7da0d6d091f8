"""A disk that fills, fails or turns read-only: the relay takes less, says so, loses nothing, goes on by itself."""

import json
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from hardware.judgement import PoolSettings
from hardware.pools import Pool, WriteReader
from hardware.records import PoolMode
from kspace.clock import SystemClock
from tests.integration.disks import SmallDisk, small_disk
from tests.integration.relay import Relay, Running, free_port, make, measurement, send, send_until_taken, wait_until
from tests.servers.mailbox import Mailbox, serve
from transfer.app.box_report import box_report
from transfer.app.cli import app
from transfer.app.cli.pools import lines
from transfer.catalog import lists, tables
from transfer.catalog.database import CatalogDown, Database
from transfer.catalog.notices import note
from transfer.feeds.sample import Sampling
from transfer.sandbox import Sandbox, SandboxSettings

NORMAL, SLOW, PROTECT, REFUSE = PoolMode
MB = 1_000_000
FILES = 5
POOL = """
[pool]
every_s = 0.2
slow_above_percent = 40
slow_to_percent = 60
protect_above_percent = 55
refuse_above_percent = 85
gap_percent = 5
protect_under_bytes = 0
refuse_under_bytes = 0
"""
ROOMY = re.sub(r"(\w+_above_percent) = \d+", r"\1 = 100", POOL)
"""The catalog lies on this machine's own disk, which may be as full as it likes."""
MAIL = """
[[sink]]
name = "mail"
kind = "mail"
host = "127.0.0.1"
port = {port}
security = "plain"
sender = "kspace@hospital.example"
to = ["mri-it@hospital.example"]
gather_s = 0
apart_s = 0
"""
CLOSED = 'calendar = [{ when = "00:00-24:00", mbit_per_s = 0 }]'


@pytest.fixture
def disk_at(requires):
    """Mount small disks, and unmount them at the end."""
    mounted = []

    def mount(folder: Path, size: int):
        mounted.append(small_disk(folder, size=size, requires=requires))
        return mounted[-1].__enter__()

    yield mount
    for disk in reversed(mounted):
        disk.__exit__(None, None, None)


@pytest.fixture
def mailbox_at():
    """Start a mail server, and stop it at the end."""
    running = []

    def start():
        mailbox, port = Mailbox(), free_port()
        running.append(serve(mailbox, port))
        return mailbox, port

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def central(tmp_path):
    with Sandbox(tmp_path / "central", SandboxSettings()) as sandbox:
        yield sandbox


def big(number):
    """Return a measurement that takes about 2 MB in the spool."""
    return measurement(number, readouts=600)


def open_alerts(running: Running) -> dict[str, str]:
    with running.box.database.read() as connection:
        return {alert["key"].partition("@")[0]: alert["severity"] for alert in lists.alerts(connection)}


def states(running: Running) -> list[str]:
    return [capture["state"] for capture in running.captures().values()]


def waits_for_room(running: Running) -> bool:
    return any(
        (one["reason"] or "").startswith("Waits until the spool has room") for one in running.captures().values()
    )


def order_of(running: Running, verb: str) -> list[int]:
    """Return the captures in the order in which this happened to them."""
    v = tables.event.c
    with running.box.database.read() as connection:
        rows = connection.execute(select(v.subject_id).where(v.verb == verb).order_by(v.id))
        return list(rows.scalars())


def kspace(*words: object) -> str:
    """Run the command line; not while a relay runs in this process, whose logs it would take."""
    said = CliRunner().invoke(app, list(map(str, words)))
    assert said.exit_code == 0, said.output
    return said.stdout


def test_from_empty_to_full_to_drained(tmp_path, disk_at, central, mailbox_at):
    """What it shows lies in ``shown.txt`` and ``shown.svg`` of its folder."""
    disk, (mailbox, mail_port) = disk_at(tmp_path / "relay", 32 * MB), mailbox_at()
    tables_of = POOL + MAIL.format(port=mail_port)
    relay = Relay(
        folder=tmp_path,
        urls={"central": central.url},
        keep_s=86_400,
        limit=80,
        tables=tables_of,
        more={"central": CLOSED},
    )
    config, shown, began = tmp_path / "relay.toml", [], time.monotonic()

    def show(running, title, *, mail=""):
        wait_until(lambda: any(mail in subject for subject in ["", *subjects(mailbox)]), within_s=20)
        said = "\n".join(line for line in lines(box_report(running.box)) if "Not watched" not in line)
        at_s = time.monotonic() - began
        shown.append(f"{at_s:.0f} s: {title}\n{said}\nAlerts: {open_alerts(running) or 'none'}\n")

    with relay.running() as running:
        huge, *raws = filled_step_by_step(running, disk, tmp_path / "scanner", show)
    with relay.but(more={}).running() as running:
        wait_until(lambda: set(states(running)) <= {"delivered", "retired", "held"}, within_s=90, told=running.stories)
        wait_until(lambda: topics(running) == {"capture"}, within_s=20, told=lambda: open_alerts(running))
        assert running.box.mode().grade < PROTECT.grade
        show(running, "the line is open: everything is delivered, the oldest were freed early")
        gone = order_of(running, "capture.retired")
        wait_until(lambda: len(list((disk.folder / "spool").glob("*.packed"))) == len(raws) - len(gone), within_s=20)
        wait_until(lambda: any("over: The disk of the spool" in s for s in subjects(mailbox)), within_s=20)
        found = {Path(name).name: capture for name, capture in running.captures().items()}
    never = found.pop(huge.path.name)
    assert (never["state"], "never fit" in never["reason"], huge.path.exists()) == ("held", True, True)
    assert {name: capture["sha256"] for name, capture in found.items()} == {raw.path.name: raw.sha256 for raw in raws}
    report = json.loads(kspace("pools", "-c", config, "--json", "--plot", tmp_path / "shown.svg"))
    assert report["unproved"]["captures"] == 0
    target = tmp_path / "again.dat"
    kspace("restore", found[raws[0].path.name]["id"], "-o", target, "-c", config)
    assert target.read_bytes() == raws[0].path.read_bytes()
    mails = [f"Subject: {mail['Subject']}\n\n{mail.get_body().get_content()}" for mail in mailbox.mails]
    (tmp_path / "shown.txt").write_text("\n\n".join([*shown, "======", *mails]))
    assert sum("never fit" in subject for subject in subjects(mailbox)) == 1, "told once"


def filled_step_by_step(running: Running, disk: SmallDisk, scanner: Path, show: Callable[..., None]) -> list:
    """Fill the disk through all modes, be refused, then make room; return the raw files, the huge one first."""
    show(running, "empty, and the line to the archive is closed")
    huge = make(scanner / "0-huge.dat", measurement(99, readouts=3600))
    wait_until(lambda: "capture" in topics(running), within_s=20, told=lambda: states(running))
    raws = [make(scanner / f"{number:02}.dat", big(number)) for number in range(1, FILES + 1)]
    assert send([image for raw in raws for image in raw.images[:1]], running.port) == []
    wait_until(lambda: waits_for_room(running), within_s=60, told=lambda: states(running))
    wait_until(lambda: open_alerts(running).get("pool:spool") == "warning", within_s=10)
    assert running.box.mode() is SLOW, "what would fill it further was not begun"
    show(running, "it fills: what would not fit any more waits on the scanner; one file never fits", mail="slower")
    disk.fill(leaving_bytes=10 * MB)
    wait_until(lambda: open_alerts(running).get("pool:spool") == "critical", within_s=10)
    assert running.box.mode() is PROTECT
    show(running, "a stranger comes: the pool protects itself, nothing more is packed", mail="nothing more")
    assert 0 < states(running).count("matched") + states(running).count("planned") < FILES
    late = make(scanner / "late.dat", big(FILES + 1))
    assert send(late.images, running.port) == [], "images are still taken"
    disk.fill(leaving_bytes=4 * MB)
    wait_until(lambda: "pool_refuses:spool" in open_alerts(running), within_s=10)
    show(running, "he fills the rest: images are refused", mail="takes no writes")
    refused = make(scanner / "refused.dat", big(FILES + 2))
    assert send(refused.images, running.port) == list(refused.images)
    disk.empty()
    wait_until(lambda: "pool_refuses:spool" not in open_alerts(running), within_s=10)
    assert send_until_taken(refused.images, running.port, within_s=20)
    return [huge, *raws, late, refused]


def told_by(mailbox: Mailbox) -> list[str]:
    """Return the mails, among which is what had to be told."""
    assert sum("never fit" in subject for subject in subjects(mailbox)) == 1, "told once"
    for begin in ("warning: The disk of the spool", "critical: The disk of the spool"):
        assert any(f"[box] {begin}" in subject for subject in subjects(mailbox)), subjects(mailbox)
    return [f"Subject: {mail['Subject']}\n\n{mail.get_body().get_content()}" for mail in mailbox.mails]


def topics(running: Running) -> set[str]:
    return {key.partition(":")[0] for key in open_alerts(running)}


def subjects(mailbox: Mailbox) -> list[str]:
    return [str(mail["Subject"]) for mail in mailbox.mails]


@pytest.mark.parametrize("trouble", ["read_only", "failing"])
def test_a_spool_disk_that_takes_no_byte_is_told_and_goes_on_by_itself(tmp_path, disk_at, central, trouble):
    disk = disk_at(tmp_path / "relay" / "spool", 24 * MB)
    relay = Relay(folder=tmp_path, urls={"central": central.url}, tables=ROOMY)
    first, second = (make(tmp_path / "scanner" / f"{n}.dat", measurement(n, study=n), study=n) for n in (1, 2))
    second.path.rename(tmp_path / "later.dat")
    with relay.running() as running:
        assert send(first.images, running.port) == []
        wait_until(lambda: states(running) == ["retired"], within_s=40, told=running.stories)
        with getattr(disk, trouble)():
            wait_until(lambda: "pool_refuses:spool" in open_alerts(running), within_s=20)
            assert running.box.mode() is REFUSE
            assert send(second.images, running.port) == list(second.images), "refused, so the scanner keeps them"
            (tmp_path / "later.dat").rename(second.path)
            wait_until(lambda: len(states(running)) == 2, within_s=20)
        wait_until(lambda: running.box.mode() is NORMAL, within_s=20, told=lambda: box_report(running.box))
        assert send_until_taken(second.images, running.port, within_s=20)
        wait_until(lambda: states(running) == ["retired"] * 2, within_s=40, told=running.stories)
        wait_until(lambda: not open_alerts(running), within_s=20, told=lambda: open_alerts(running))
        told = {capture["path"]: capture["sha256"] for capture in running.captures().values()}
    assert told == {raw.path.name: raw.sha256 for raw in (first, second)}


def test_a_slow_disk_is_told_until_it_is_quick_again(tmp_path, disk_at):
    disk, database = disk_at(tmp_path / "disk", 16 * MB), Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    database.migrate()
    reader = WriteReader([Pool(disk.folder, PoolSettings())])
    sampling = Sampling("write", reader, database=database, clock=SystemClock(), machine="box")

    def alerts() -> list[str]:
        sampling()
        with database.read() as connection:
            return [alert["text"] for alert in lists.alerts(connection)]

    assert alerts() == []
    with disk.slow(bytes_per_s=3072):
        alerts()  # what the device takes at once before it is slow
        (said,) = alerts()
    assert "s for a write of 4 KB" in said
    assert alerts() == []
    database.close()


@pytest.mark.parametrize("trouble", ["full", "failing"])
def test_a_catalog_whose_disk_takes_no_byte_keeps_what_was_committed_and_goes_on(tmp_path, disk_at, trouble):
    disk = disk_at(tmp_path / "catalog", 16 * MB)
    database = Database(f"sqlite:///{disk.folder / 'catalog.sqlite'}")
    database.migrate()
    committed, now = [], SystemClock().now()

    def write(number: int) -> None:
        with database.write() as connection:
            what = {"actor": "relay", "subject": "box", "subject_id": number, "verb": "box.told"}
            note(connection, at=now, **what, detail="x" * 50_000)
        committed.append(number)

    for number in range(5):
        write(number)
    with getattr(disk, trouble)(), pytest.raises(CatalogDown, match="Nothing is lost"):
        deque(map(write, range(5, 300)))
    write(300)
    with database.read() as connection:
        found = connection.execute(select(tables.event.c.subject_id)).scalars().all()
        assert set(committed) <= set(found)
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    database.close()
