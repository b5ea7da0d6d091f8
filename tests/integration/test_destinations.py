"""Several destinations at once: each by its own way, and none waits for another."""

import contextlib
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from kspace.clock import SystemClock
from tests.integration.relay import Relay, captures_of, free_port, make, measurement, send_until_taken, wait_until
from tests.servers.nginx import nginx_before
from transfer import operations
from transfer.app.wiring import Box
from transfer.config import load_config
from transfer.destinations.errors import DestinationDown, Refused, Unauthorized
from transfer.sandbox import Sandbox, SandboxSettings

TINYPROXY = """\
Port {port}
Listen 127.0.0.1
Timeout 60
LogFile "{folder}/proxy.log"
PidFile "{folder}/proxy.pid"
LogLevel Info
BasicAuth relay proxy-secret
"""


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as running:
        yield running


@pytest.fixture
def process():
    """Start programs and end them, newest first."""
    with contextlib.ExitStack() as stack:

        def _process(*command):
            stack.callback(stack.enter_context(subprocess.Popen(command)).terminate)

        yield _process


@pytest.fixture
def stalled():
    """Yield a server that takes every connection and never says a word; closing it resets them."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener


def verified(running, to):
    found = running.deliveries(kind="raw", to=to)
    return sum(d["state"] == "verified" for d in found)


def listens(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def test_a_stalled_archive_keeps_only_its_own_deliveries_waiting(tmp_path, sandbox, stalled):
    """Six studies: more than there are workers, so shared ones would all hang at the stalled archive."""
    urls = {"stalled": f"http://127.0.0.1:{stalled.getsockname()[1]}", "central": sandbox.url}
    relay = Relay(folder=tmp_path, urls=urls, keep_s=3600)
    raws = [make(tmp_path / "scanner" / f"{n}.dat", measurement(n, study=n), study=n) for n in range(1, 7)]
    with relay.running() as running:
        for raw in raws:
            send_until_taken(raw.images, running.port, within_s=20)
        # The stalled one answers nothing for timeout_s = 20, so whoever waited for it would be late here.
        wait_until(lambda: verified(running, "central") == 6, within_s=18, told=running.stories)
        assert verified(running, "stalled") == 0
        stalled.close()


def test_two_archives_get_parts_of_their_own_size(tmp_path, sandbox):
    with Sandbox(tmp_path / "second", SandboxSettings()) as second:
        urls, parts = {"central": sandbox.url, "second": second.url}, {"central": 200_000, "second": 900_000}
        relay = Relay(folder=tmp_path, urls=urls, parts=parts, chunk_bytes=131_072)
        raw = make(tmp_path / "scanner" / "a.dat", measurement(1, readouts=400, channels=8, samples=512))
        with relay.running() as running:
            send_until_taken(raw.images, running.port, within_s=20)
            wait_until(lambda: running.stories()["a.dat"]["state"] == "retired", within_s=60, told=running.stories)
            sent = {d["destination"]: d["parts"] for d in running.stories()["a.dat"]["deliveries"]}
    assert len(sent["central"]) > len(sent["second"]) > 1
    assert max(p["size"] for p in sent["central"]) <= 200_000 < max(p["size"] for p in sent["second"]) <= 900_000


def test_a_closed_calendar_begins_nothing(tmp_path, sandbox):
    with Sandbox(tmp_path / "second", SandboxSettings()) as second:
        closed = 'calendar = [{ when = "Mon-Sun 00:00-24:00", mbit_per_s = 0 }]'
        relay = Relay(folder=tmp_path, urls={"shut": second.url, "central": sandbox.url}, more={"shut": closed})
        raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
        with relay.running() as running:
            send_until_taken(raw.images, running.port, within_s=20)
            wait_until(lambda: verified(running, "central") == 1, within_s=30, told=running.stories)
            (waits,) = running.deliveries(kind="dicom", to="shut")
            assert waits["state"] == "queued"
            assert running.alerts() == []


def test_a_proxy_that_wants_a_password_is_gone_through(tmp_path, sandbox, process, requires):
    port = free_port()
    (tmp_path / "proxy.conf").write_text(TINYPROXY.format(port=port, folder=tmp_path))
    process(requires("tinyproxy"), "-d", "-c", str(tmp_path / "proxy.conf"))
    wait_until(lambda: listens(port), within_s=10)
    secret = tmp_path / "proxy-password"
    secret.write_text("proxy-secret")
    by = f'proxy = {{ url = "http://127.0.0.1:{port}", user = "relay", password = {{ file = "{secret}" }} }}'
    relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, more={"central": by})
    raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=20)
        wait_until(lambda: verified(running, "central") == 1, within_s=30, told=running.stories)
    assert "POST" in (tmp_path / "proxy.log").read_text()
    secret.write_text("wrong-secret")
    with pytest.raises(Unauthorized) as said:  # tinyproxy answers a wrong password with 401, and none with 407
        archive(relay).check()
    assert "wrong-secret" not in str(said.value)
    bare = {"central": f'proxy = {{ url = "http://127.0.0.1:{port}" }}'}
    with pytest.raises(DestinationDown, match="the proxy wants other credentials"):
        archive(relay.but(more=bare)).check()


def archive(relay):
    box = Box(load_config(relay.write()))
    try:
        return box.archives()["central"]
    finally:
        box.close()


@pytest.fixture
def border(requires, tmp_path, sandbox):
    with nginx_before(sandbox.url, tmp_path / "nginx", requires) as running:
        yield running


def test_a_private_authority_a_client_certificate_and_ipv6(tmp_path, border):
    trusted = f'ca_file = "{border.ca_file}"'
    shown = f'{trusted}\nclient_cert = "{border.client_cert}"\nclient_key = "{border.client_key}"'
    relay = Relay(folder=tmp_path, urls={"central": border.url})
    with pytest.raises(DestinationDown):
        archive(relay).check()  # nobody it knows has signed the server
    with pytest.raises(Refused, match="status 400"):  # nginx wants a certificate
        archive(relay.but(more={"central": trusted})).check()
    relay = relay.but(more={"central": shown})
    raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=20)
        wait_until(lambda: verified(running, "central") == 1, within_s=30, told=running.stories)


def test_an_alias_token_is_replaced_without_a_restart_and_no_secret_is_shown(tmp_path, capfd):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        tokens = f"{sandbox.url}/data/services/tokens"

        def issue():
            token = httpx.get(f"{tokens}/issue", auth=("relay", "relay")).raise_for_status().json()
            (tmp_path / "alias").write_text(token["alias"])
            (tmp_path / "central-password").write_text(token["secret"])
            return token

        first = issue()
        by = {"central": f'alias = {{ file = "{tmp_path}/alias" }}'}
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, more=by, password=first["secret"])
        raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
        with relay.running() as running:
            httpx.get(f"{tokens}/invalidate/{first['alias']}", auth=("relay", "relay")).raise_for_status()
            send_until_taken(raw.images, running.port, within_s=20)
            wait_until(lambda: any("401" in text for text in running.alerts()), within_s=20, told=running.stories)
            alerts, second = running.alerts(), issue()
            (waits,) = running.deliveries(kind="dicom", to="central")
            operations.retry(running.box.database, f"d{waits['id']}", actor="ann", clock=running.box.clock)
            wait_until(lambda: verified(running, "central") == 1, within_s=30, told=running.stories)
            assert running.alerts() == []
            shown = str((alerts, running.stories()))
    shown += "".join(capfd.readouterr())
    assert "stage.failed" in shown
    assert [s for token in (first, second) for s in (token["alias"], token["secret"]) if s in shown] == []


class _Offset(SystemClock):
    """The machine's clock, put forward or back."""

    by = timedelta()

    def now(self):
        return super().now() + self.by


def test_a_relay_that_runs_renews_its_alias_token_and_delivers_when_the_old_one_has_ended(tmp_path, process):
    clock = _Offset()
    with Sandbox(tmp_path / "archive", SandboxSettings(), clock=clock) as sandbox:
        clock.by = -timedelta(hours=25)  # more than half of its life is over as the relay starts
        token = httpx.get(f"{sandbox.url}/data/services/tokens/issue", auth=("relay", "relay")).json()
        clock.by = timedelta()
        (tmp_path / "alias").write_text(token["alias"])
        by = {"central": f'alias = {{ file = "{tmp_path}/alias" }}'}
        port = free_port()
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, more=by, password=token["secret"], port=port)
        raw, config = make(tmp_path / "scanner" / "a.dat", measurement(1)), relay.write()
        process(Path(sys.executable).with_name("kspace"), "serve", "-c", config)
        renewed = [tmp_path / "alias", tmp_path / "central-password"]
        wait_until(lambda: renewed[1].read_text() != token["secret"], within_s=60, told=token.keys)
        clock.by = timedelta(hours=24)
        assert httpx.get(f"{sandbox.url}/data/auth", auth=(token["alias"], token["secret"])).status_code == 401
        send_until_taken(raw.images, port, within_s=60)
        box = Box(load_config(config))
        wait_until(
            lambda: [c["state"] for c in captures_of(box.database).values()] == ["retired"],
            within_s=60,
            told=lambda: captures_of(box.database),
        )
        box.close()
        assert httpx.get(f"{sandbox.url}/data/auth", auth=tuple(p.read_text() for p in renewed)).status_code == 200
