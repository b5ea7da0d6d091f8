"""A session with every kind of trouble in it: `python -m tests.integration.troubled` shows its page of the ledger."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from typer.testing import CliRunner

from tests.integration.relay import Relay, Running, free_port, make, measurement, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.catalog.ledger import place
from transfer.sandbox import Sandbox, SandboxSettings

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RULE = "dependencies = true"


@contextmanager
def troubled(folder: Path) -> Iterator[Path]:
    """Let a relay work on it until nothing moves any more, and yield its configuration."""
    share = folder / "scanner"
    with Sandbox(folder / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=folder, urls={"central": sandbox.url}, port=free_port(), identified=_RULE)
        config = relay.write()
        raw = [
            make(share / "good.dat", measurement(1)),
            make(share / "good too.dat", measurement(2)),
            make(share / "unwanted.dat", measurement(3, protocol="localizer")),
            make(share / "named.dat", measurement(4, patient_name="DOE^JANE")),
            make(folder / "elsewhere" / "rawless.dat", measurement(6)),
            make(share / "needs two.dat", measurement(9, dependency_mids=(10, 31))),
        ]
        # One study's images of each; of these nothing was ever sent.
        make(share / "imageless.dat", measurement(5, study=1))
        make(share / "adjustment.dat", measurement(10, protocol="AdjCoilSens"))
        make(share / "stranger.dat", measurement(7, study=9))
        make(share / "person.dat", measurement(13, study=1))
        raw.append(make(share / "moved.dat", measurement(11)))
        (share / "unreadable.dat").write_bytes(b"no header at all" * 1000)
        vanished = make(share / "vanished.dat", measurement(8))
        with relay.running() as running:
            wait_until(lambda: "vanished.dat" in running.captures(), within_s=20)
            vanished.path.unlink()
            images = [image for one in [*raw, vanished] for image in one.images]
            send_until_taken(images, relay.port, within_s=30)
            wait_until(lambda: _is_over(running), within_s=90, told=running.captures)
            _correct(running, config)
            place(running.box.database, now=datetime.now(UTC), since=_LONG_AGO)
        yield config


def _correct(running: Running, config: Path) -> None:
    """Say as a person that one file is of another scan, though the spool was freed of it, and hold another file."""
    number = {path: row["id"] for path, row in running.captures().items()}
    run("retry", number["unreadable.dat"], "--as-is", "-c", config)
    run("hold", number["person.dat"], "--reason", "is it of the study at all?", "-c", config)
    with running.box.database.read() as connection:
        scan = connection.exec_driver_sql("SELECT id FROM series WHERE number = 6").scalar_one()
    run("link", number["moved.dat"], f"s{scan}", "-c", config)
    states = {"moved.dat": "retired", "unreadable.dat": "packed", "person.dat": "held"}
    wait_until(
        lambda: {path: running.captures()[path]["state"] for path in states} == states,
        within_s=60,
        told=running.captures,
    )


def _is_over(running: Running) -> bool:
    states = {path: row["state"] for path, row in running.captures().items()}
    ended = ("good.dat", "good too.dat", "adjustment.dat", "needs two.dat", "moved.dat")
    held = running.deliveries(kind="raw", to="central")
    return (
        {states.get(path) for path in ended} == {"retired"}
        and {states.get(path) for path in ("imageless.dat", "stranger.dat")} == {"packed"}
        and states.get("unwanted.dat") == "skipped"
        and any(d["state"] == "held" for d in held)
        and states.get("vanished.dat") == "held"
    )


def run(*arguments: object) -> str:
    """Run a command of the relay and return what it printed."""
    said = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def label_of(config: Path) -> str:
    """Return the label of the one session."""
    label: str = json.loads(run("sessions", "-c", config, "--json"))["sessions"][0]["sessions"][0]["session"]
    return label


if __name__ == "__main__":
    err = sys.stderr  # the commands' runner puts another in its place
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(err))
    with tempfile.TemporaryDirectory() as name, troubled(Path(name)) as written:
        sys.stdout.write(run("sessions", "-c", written) + run("session", label_of(written), "-c", written))
