"""A patient planted wherever a raw file can name one, and a secret password: neither shows up anywhere else."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from kspace.preview.quicklook import quick_look
from kspace.twix.synthetic import Synthetic, write_twix
from tests.integration.relay import Relay, captures_of, free_port, make, measurement, send_until_taken, wait_until
from tests.servers import mailbox
from tests.servers.receiver import Receiver
from transfer.app.cli import app
from transfer.app.rawfile import look_into
from transfer.app.wiring import Box
from transfer.config import load_config
from transfer.sandbox import Sandbox, SandboxSettings
from transfer.sandbox.settings import Project, User

KSPACE = Path(sys.executable).with_name("kspace")
PATIENT = {"patient_name": "DOEPLANTED^JANE", "patient_id": "PID4711PLANTED", "birth_date": "19610704"}
NAMED = (b"DOEPLANTED", b"PID4711PLANTED", b"19610704")
PASSWORD = "Geheim+planted/4711"
KINDS = [(baseline, is_streamed) for baseline in ("VB", "VD", "XA") for is_streamed in (False, True)]
ALLOWED = 'identified_raw = { allowed_by = "A. Person", on = 2026-01-31 }'


@pytest.fixture
def sandbox(tmp_path):
    relay = User(name="relay", password=PASSWORD, roles={"DEMO": "member"})
    settings = SandboxSettings(users=(relay,), projects=(Project(id="DEMO", prearchive_code=4),))
    with Sandbox(tmp_path / "archive", settings) as running:
        yield running


@pytest.fixture
def listening():
    """A mail server with its port, and an HTTP server: where alerts and reports go."""
    told, port = mailbox.Mailbox(), free_port()
    running = mailbox.serve(told, port)
    with Receiver() as posted:
        yield told, port, posted
    running.stop()


def kspace(*arguments: object) -> str:
    return CliRunner().invoke(app, list(map(str, arguments))).output


def found_in(text: bytes, *wanted: bytes) -> list[bytes]:
    return [word for word in wanted if word in text]


@pytest.mark.slow
def test_neither_a_patient_nor_a_password_shows_anywhere(sandbox, tmp_path, listening):
    """Hold all six; then, on a person's word, deliver them by a relay of its own process and look at what it left."""
    relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, password=PASSWORD, port=free_port())
    raws = []
    for number, (baseline, is_streamed) in enumerate(KINDS, start=1):
        twix = measurement(number, baseline=baseline, study=number, is_streamed=is_streamed, **PATIENT)
        raws.append(make(tmp_path / "scanner" / f"DOEPLANTED_{number}_19610704.dat", twix, study=number))
    with relay.running() as running:
        for raw in raws:
            send_until_taken(raw.images, running.port, within_s=30)

        def held() -> list[str]:
            return [d["reason"] for d in running.deliveries(kind="raw", to="central") if d["state"] == "held"]

        wait_until(lambda: len(held()) == len(raws), within_s=60, told=running.stories)
        assert all("is not blanked" in reason or "are not blanked" in reason for reason in held())
        said = " ".join([*held(), *running.alerts()]).encode()
    urls = [request["path"] for request in httpx.get(f"{sandbox.url}/sandbox/log").json()]
    assert not [url for url in urls if "KSPACE" in url], "nothing of it left"
    config = relay.but(identified=ALLOWED).write()
    (told, mail_port, posted), metrics = listening, f"127.0.0.1:{free_port()}"
    _add_sinks(config, mail_port=mail_port, post_port=posted.server_port, metrics=metrics)
    box = Box(load_config(config))
    for row in captures_of(box.database).values():
        kspace("retry", row["id"], "-c", config)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([KSPACE, "serve", "-c", config], stdout=log, stderr=log)
        try:
            wait_until(
                lambda: {c["state"] for c in captures_of(box.database).values()} == {"retired"},
                within_s=60,
                told=lambda: captures_of(box.database),
            )
            command_lines = b" ".join(map(_command_line, Path("/proc").glob("[0-9]*/cmdline")))
            # the daily report may come before what is told of the held deliveries
            wait_until(lambda: _tells_what_is_held(told) and posted.got, within_s=60)
            said += httpx.get(f"http://{metrics}/metrics").content
        finally:
            process.terminate()
            process.wait()
    box.close()
    assert b"kspace" in command_lines
    assert found_in(command_lines, PASSWORD.encode(), *NAMED) == []
    said += (tmp_path / "log").read_bytes() + kspace("alerts", "--history", "-c", config).encode()
    said += b"".join([*told.raw, *(body for _, body in posted.got)])
    said += json.dumps(httpx.get(f"{sandbox.url}/sandbox/log").json()).encode()
    for number in range(1, len(raws) + 1):
        page = tmp_path / f"{number}.html"
        kspace("receipt", number, "--html", page, "-c", config)
        said += kspace("receipt", number, "-c", config).encode() + page.read_bytes()
    right = kspace("check", "-c", config)
    (tmp_path / "central-password").write_text(f"{PASSWORD}-wrong")
    refused = kspace("check", "-c", config)
    assert "401" in refused
    said += refused.encode() + right.encode()
    assert found_in(said, PASSWORD.encode(), *NAMED) == []
    beside = [p for p in (tmp_path / "archive").rglob("*") if p.is_file() and not p.name.startswith("part-")]
    assert {"manifest.json", "delivery.json", "receipt.json"} <= {p.name for p in beside}
    assert [(p.name, word) for p in beside for word in found_in(bytes(p) + p.read_bytes(), *NAMED)] == []
    packed = b"".join(p.read_bytes() for p in (tmp_path / "archive").rglob("part-*.bin"))
    assert packed, "the raw data themselves are there"


def _add_sinks(config: Path, *, mail_port: int, post_port: int, metrics: str) -> None:
    sinks = {
        "mail": {"host": "127.0.0.1", "port": mail_port, "security": "plain", "sender": "a@b.org", "to": ["c@d.org"]},
        "webhook": {"url": f"http://127.0.0.1:{post_port}/"},
    }
    text = config.read_text().replace('name = "box"\n', f'name = "box"\nmetrics = "{metrics}"\n')
    for kind, given in sinks.items():
        always = {"name": kind, "kind": kind, "gather_s": 0, "reports": ["daily", "weekly"], "report_at": "00:00"}
        text += "\n[[sink]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in (always | given).items())
    config.write_text(text)


def _command_line(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


@pytest.mark.parametrize("baseline", ["VB", "VD", "XA"])
def test_a_quick_look_shows_no_patient(tmp_path, baseline):
    path = tmp_path / "DOEPLANTED.dat"
    write_twix(path, Synthetic(baseline=baseline, readouts=64, **PATIENT))
    look = quick_look(path, audit=look_into(path).audit)
    assert found_in(look.png + repr(look).encode(), *NAMED) == []
    assert [look.png[at : at + 4] for at in range(len(look.png)) if look.png[at : at + 4] in {b"tEXt", b"iTXt"}] == []


def _tells_what_is_held(told: mailbox.Mailbox) -> bool:
    """The daily report may come before it."""
    return any(b"delivery:" in mail for mail in told.raw)
