"""The whole way into a bucket: beside an XNAT, through crashes, lost later, and back."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from buckets import vault, verified
from typer.testing import CliRunner

from tests.integration.relay import Relay, captures_of, free_port, make, measurement, send_until_taken, wait_until
from tests.servers.meddler import Seen
from transfer.app.cli import app
from transfer.app.custody import prove_again
from transfer.app.wiring import Box
from transfer.config import load_config
from transfer.feeds.sweep import sweep
from transfer.routing import session_name
from transfer.sandbox import Sandbox, SandboxSettings

_KSPACE = Path(sys.executable).with_name("kspace")
_STUDY = "1.3.12.2.1107.5.2.50.210000.30000026010508300000000001"


def keys_in(bucket):
    listed = bucket.stock.list_objects_v2(Bucket=bucket.name).get("Contents", [])
    return [row["Key"] for row in listed]


def stored(bucket, key):
    return bucket.stock.get_object(Bucket=bucket.name, Key=key)["Body"].read()


def is_retired(running):
    return [capture["state"] for capture in running.captures().values()] == ["retired"]


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_one_capture_goes_to_an_xnat_and_to_a_bucket_and_comes_back_from_both(tmp_path, bucket):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, others={"vault": vault(bucket)})
        raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
        with relay.running() as running:
            send_until_taken(raw.images, running.port, within_s=60)
            wait_until(lambda: is_retired(running), within_s=120, told=running.stories)
            story = running.stories()["a.dat"]
            assert running.deliveries(kind="dicom", to="vault") == []
        of_vault = next(d for d in story["deliveries"] if d["destination"] == "vault")
        assert len(of_vault["parts"]) == 1, "one object a capture"
        assert len(next(d for d in story["deliveries"] if d["destination"] == "central")["parts"]) > 1
        config = tmp_path / "relay.toml"
        for name in ("central", "vault"):
            back = tmp_path / f"{name}.dat"
            said = run("restore", "1", "--from", name, "-o", back, "-c", config)
            assert said.exit_code == 0, said.output
            assert back.read_bytes() == raw.path.read_bytes()
    keys = keys_in(bucket)
    folder = f"kspace/DEMO/{session_name(_STUDY)}/0000001-{raw.sha256[:12]}"
    assert keys == sorted(f"{folder}/{n}" for n in ("delivery.json", "manifest.json", "part-00001.bin", "receipt.json"))
    assert of_vault["place"] == folder.rpartition("/")[0]
    receipt = json.loads(stored(bucket, f"{folder}/receipt.json"))["receipt"]
    assert receipt["source"]["sha256"] == raw.sha256
    assert not [key for key in keys if "PRACTICE" in key or "20260105" in key]
    told = json.loads(stored(bucket, f"{folder}/delivery.json"))["parts"]
    bucket.stock.download_file(bucket.name, f"{folder}/part-00001.bin", str(tmp_path / "part"))
    assert [part["sha256"] for part in told] == [sha256((tmp_path / "part").read_bytes()).hexdigest()]
    # Without the catalog: what people know is the study's UID, or what the bucket shows.
    into = tmp_path / "into"
    lone = tmp_path / "lone.toml"
    lone.write_text(config.read_text().replace(f"{tmp_path}/relay", f"{tmp_path}/other"))
    said = run("restore", "--project", "DEMO", "--session", _STUDY, "--from", "vault", "-o", into, "-c", lone)
    assert said.exit_code == 0, said.output
    (back,) = into.iterdir()
    assert back.read_bytes() == raw.path.read_bytes()


def test_what_an_xnat_lost_comes_back_from_the_bucket_by_number_and_by_the_sessions_label(tmp_path, bucket):
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, others={"vault": vault(bucket)})
        raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
        with relay.running() as running:
            send_until_taken(raw.images, running.port, within_s=60)
            wait_until(lambda: is_retired(running), within_s=120, told=running.stories)
        rows = httpx.get(f"{sandbox.url}/data/projects/DEMO/experiments?format=json", auth=("relay", "relay")).json()
        (label,) = (row["label"] for row in rows["ResultSet"]["Result"])
        next((tmp_path / "archive").rglob("part-00001.bin")).unlink()
        config = tmp_path / "relay.toml"
        by_label = ("--project", "DEMO", "--session", label, "-o", tmp_path / "into")
        assert run("verify", "1", "-c", config).exit_code == 7, "from here on only the bucket's proof stands"
        for asked in (("1", "-o", tmp_path / "back.dat"), by_label):
            said = run("restore", *asked, "-c", config)
            assert said.exit_code == 0, said.output
        assert "bytes of it from vault" in said.stdout
        assert "bytes of it from central" in said.stdout
        found = [tmp_path / "back.dat", *(tmp_path / "into").iterdir()]
    assert [path.read_bytes() == raw.path.read_bytes() for path in found] == [True, True]


def test_a_bucket_alone_needs_no_archive_for_images(tmp_path, bucket):
    relay = Relay(folder=tmp_path, urls={}, others={"vault": vault(bucket)}, keep_s=3600)
    raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=60)
        wait_until(lambda: verified(running, "vault"), within_s=60, told=running.stories)
        assert running.alerts() == []
        (delivery,) = running.deliveries(kind="raw", to="vault")
        (key,) = [key for key in keys_in(bucket) if key.endswith(".bin")]
        whole = stored(bucket, key)
        for damage in ("altered", "lost"):
            if damage == "altered":
                bucket.stock.put_object(Bucket=bucket.name, Key=key, Body=bytes(len(whole)))
            else:
                bucket.stock.delete_object(Bucket=bucket.name, Key=key)
            prove_again(running.box, delivery["id"])
            assert any("lost or altered 1 of 3" in text for text in running.alerts())
            wait_until(lambda: verified(running, "vault") and not running.alerts(), within_s=60, told=running.stories)
            assert stored(bucket, key) == whole, "sent again from the spool"


def test_a_study_of_two_projects_sends_nothing_to_a_bucket_before_a_person_says_where(tmp_path, bucket):
    relay = Relay(folder=tmp_path, urls={}, others={"vault": vault(bucket)}, keep_s=3600)
    raws = [make(tmp_path / "scanner" / "a.dat", measurement(1), comments="Project:DEMO")]
    raws.append(make(tmp_path / "scanner" / "b.dat", measurement(2), comments="Project:OTHER"))
    with relay.running() as running:
        send_until_taken([image for raw in raws for image in raw.images], running.port, within_s=60)

        def states():
            return [d["state"] for d in running.deliveries(kind="raw", to="vault")]

        wait_until(lambda: states() == ["held"] * 2, within_s=60, told=running.stories)
        assert keys_in(bucket) == []
        assert any("do not belong to one place" in text for text in running.alerts())
        assert run("assign", "t1", "--project", "DEMO", "-c", tmp_path / "relay.toml").exit_code == 0
        wait_until(lambda: verified(running, "vault", "vault"), within_s=60, told=running.stories)
        assert all(key.startswith("kspace/DEMO/") for key in keys_in(bucket))


def test_what_was_lost_after_the_spool_was_freed_is_told(tmp_path, bucket):
    relay = Relay(folder=tmp_path, urls={}, others={"vault": vault(bucket)})
    raw = make(tmp_path / "scanner" / "a.dat", measurement(1))
    with relay.running() as running:
        send_until_taken(raw.images, running.port, within_s=60)
        wait_until(lambda: running.stories()["a.dat"]["state"] == "retired", within_s=60, told=running.stories)
        spool = tmp_path / "relay" / "spool"
        sweep(spool=spool, database=running.box.database)
        assert not list(spool.glob("*.packed"))
        (delivery,) = running.deliveries(kind="raw", to="vault")
        assert prove_again(running.box, delivery["id"]), "the bytes there are proved without those here"
        assert running.deliveries(kind="raw", to="vault")[0]["state"] == "verified"
        (key,) = [key for key in keys_in(bucket) if key.endswith(".bin")]
        bucket.stock.put_object(Bucket=bucket.name, Key=key, Body=bytes(len(stored(bucket, key))))
        prove_again(running.box, delivery["id"])
        wait_until(
            lambda: running.deliveries(kind="raw", to="vault")[0]["state"] == "held", within_s=60, told=running.stories
        )
        assert "the only one" in running.deliveries(kind="raw", to="vault")[0]["reason"]


def _states(box):
    return [capture["state"] for capture in captures_of(box.database).values()]


@pytest.mark.slow
def test_a_relay_killed_in_the_middle_of_an_upload_goes_on_with_it(tmp_path, bucket):
    """Two lives, each ended by SIGKILL when so many parts were seen; then one that may finish."""
    settings = vault(bucket, limit_mbit_per_s=80.0, parts_at_once=2)
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        urls = {"central": sandbox.url}
        relay = Relay(folder=tmp_path, urls=urls, others={"vault": settings}, port=free_port(), chunk_bytes=4 << 20)
        config = relay.write()
        box = Box(load_config(config))
        raw = make(tmp_path / "scanner" / "a.dat", measurement(1, readouts=4_000, channels=8, samples=256))
        with (tmp_path / "log").open("ab") as log:
            for kill_at in (2, 4, None):
                process = subprocess.Popen([_KSPACE, "serve", "-c", config], stdout=log, stderr=log)
                try:
                    send_until_taken(raw.images, relay.port, within_s=60)
                    if kill_at:
                        wait_until(lambda n=kill_at: bucket.meddler.count(Seen.is_part) >= n, within_s=120)
                    else:
                        wait_until(lambda: _states(box) == ["retired"], within_s=120, told=lambda: _states(box))
                finally:
                    process.kill()
                    process.wait()
    box.close()
    (key,) = [key for key in keys_in(bucket) if key.endswith(".bin")]
    packed = stored(bucket, key)
    parts = -(-len(packed) // (5 << 20))
    assert parts > 4, "it was sent before the last kill, so nothing was proved"
    sent = bucket.meddler.count(Seen.is_part)
    assert sent <= parts + 2 * 2, "a kill costs no more than the parts on their way"
    assert bucket.stock.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []) == []
    back = tmp_path / "back.dat"
    said = run("restore", "1", "--from", "vault", "-o", back, "-c", config)
    assert said.exit_code == 0, said.output
    assert back.read_bytes() == raw.path.read_bytes()


def test_the_check_tells_what_it_could_do_and_what_it_should_not(tmp_path, bucket):
    relay = Relay(folder=tmp_path, urls={}, others={"vault": vault(bucket)})
    said = run("check", "-c", relay.write(), "--destination", "vault")
    assert said.exit_code == 0, said.output
    shown = " ".join(said.output.split())
    assert f"may write to, read and list bucket {bucket.name}" in shown
    assert "the access key may delete" in shown
    bucket.keys["secret_key"].write_text("wrong-secret")
    said = run("check", "-c", tmp_path / "relay.toml", "--destination", "vault")
    assert said.exit_code != 0
    assert "SignatureDoesNotMatch" in said.output
    assert "wrong-secret" not in said.output
