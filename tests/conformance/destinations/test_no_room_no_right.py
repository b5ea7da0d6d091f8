"""An archive without room, and one without a right: with an alert, by itself, and nothing else waits for it."""

import httpx
import pytest
from buckets import vault, verified

from tests.integration.relay import Relay, make, measurement, send_until_taken, wait_until
from transfer.sandbox import Faults, Project, Sandbox, SandboxSettings, User

PROJECTS = (Project(id="DEMO", prearchive_code=4), Project(id="OTHER", prearchive_code=4))


@pytest.fixture
def archive(tmp_path):
    """Run an XNAT in which the relay may write to one project and read the other."""
    users = (User(name="relay", password="relay", roles={"DEMO": "member", "OTHER": "collaborator"}),)
    with Sandbox(tmp_path / "archive", SandboxSettings(users=users, projects=PROJECTS)) as running:
        yield running


def raw_of(tmp_path, number, *, comments=""):
    path = tmp_path / "scanner" / f"{number}.dat"
    return make(path, measurement(number, study=number), study=number, comments=comments)


def state_of(running, name, to):
    return next((d["state"] for d in running.stories()[name]["deliveries"] if d["destination"] == to), None)


def alerted(running, *words):
    return [text for text in running.alerts() if all(word in text for word in words)]


def test_an_xnat_without_room_is_waited_for_and_the_other_archive_is_not_kept(tmp_path, archive):
    with Sandbox(tmp_path / "second", SandboxSettings()) as second:
        full = Faults(refuse=1.0, refuse_status=507, only="PUT .*/files/")
        httpx.put(f"{archive.url}/sandbox/faults", json=full.model_dump()).raise_for_status()
        relay = Relay(folder=tmp_path, urls={"central": archive.url, "second": second.url}, keep_s=3600)
        raws = [raw_of(tmp_path, number) for number in (1, 2)]
        with relay.running() as running:
            for raw in raws:
                send_until_taken(raw.images, running.port, within_s=30)
            wait_until(lambda: verified(running, "second", "second"), within_s=60, told=running.stories)
            wait_until(lambda: alerted(running, "central", "507", "tries again"), within_s=30, told=running.alerts)
            assert {d["state"] for d in running.deliveries(kind="raw", to="central")} == {"queued"}
            httpx.put(f"{archive.url}/sandbox/faults", json={}).raise_for_status()
            wait_until(lambda: verified(running, "central", "central"), within_s=60, told=running.stories)
            wait_until(lambda: not running.alerts(), within_s=20, told=running.alerts)


def test_a_project_without_the_right_waits_alone_until_it_is_given(tmp_path, archive):
    other = '\n[[rule]]\nname = "of others"\nproject = "OTHER"\nprotocols = ["*"]\n'
    relay = Relay(folder=tmp_path, urls={"central": archive.url}, keep_s=3600, identified=other)
    denied, allowed = raw_of(tmp_path, 1, comments="Project:OTHER"), raw_of(tmp_path, 2)
    with relay.running() as running:
        send_until_taken(denied.images, running.port, within_s=30)
        wait_until(lambda: alerted(running, "central", "403", "project"), within_s=60, told=running.stories)
        send_until_taken(allowed.images, running.port, within_s=30)
        wait_until(lambda: state_of(running, "2.dat", "central") == "verified", within_s=60, told=running.stories)
        assert alerted(running, "403")
        archive._site.guard.grant("OTHER", "relay", role="member")
        wait_until(lambda: verified(running, "central", "central"), within_s=60, told=running.stories)
        wait_until(lambda: not running.alerts(), within_s=20, told=running.alerts)


def test_a_bucket_whose_quota_is_spent_is_waited_for(tmp_path, archive, bucket, swift):
    relay = Relay(folder=tmp_path, urls={"central": archive.url}, others={"vault": vault(bucket)}, keep_s=3600)
    swift.tell(bucket.name, {"X-Container-Meta-Quota-Bytes": "100000"})
    raw = raw_of(tmp_path, 1)
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=30)
        wait_until(lambda: verified(running, "central"), within_s=60, told=running.stories)
        wait_until(lambda: alerted(running, "vault", "no room"), within_s=30, told=running.stories)
        assert state_of(running, "1.dat", "vault") == "queued"
        swift.tell(bucket.name, {"X-Container-Meta-Quota-Bytes": ""})
        wait_until(lambda: verified(running, "vault"), within_s=60, told=running.stories)
        wait_until(lambda: not running.alerts(), within_s=20, told=running.alerts)


def test_a_bucket_without_the_right_to_write_is_waited_for(tmp_path, archive, bucket):
    denied = (403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
    bucket.meddler.meddle = lambda seen: denied if seen.method == "PUT" else None
    relay = Relay(folder=tmp_path, urls={"central": archive.url}, others={"vault": vault(bucket)}, keep_s=3600)
    raw = raw_of(tmp_path, 1)
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=30)
        wait_until(lambda: verified(running, "central"), within_s=60, told=running.stories)
        wait_until(lambda: alerted(running, "vault", "AccessDenied", "project"), within_s=30, told=running.stories)
        assert state_of(running, "1.dat", "vault") == "queued"
        bucket.meddler.meddle = lambda _: None
        wait_until(lambda: verified(running, "vault"), within_s=60, told=running.stories)
        wait_until(lambda: not running.alerts(), within_s=20, told=running.alerts)
