"""What the relay delivered, read by stock xnatpy and pyxnat: nothing of ours is needed to get at it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import xnat

from tests.integration.relay import Relay, make, measurement, send_until_taken, wait_until
from transfer.sandbox import Sandbox, SandboxSettings

DECODER = Path(__file__).parents[2] / "docs" / "reference" / "decode.py"


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """Deliver one raw file and its images; yield the sandbox's address and the file."""
    folder = tmp_path_factory.mktemp("relay")
    raw = make(folder / "scanner" / "one.dat", measurement(7))
    with Sandbox(folder / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=folder, urls={"central": sandbox.url})
        with relay.running() as running:
            send_until_taken(raw.images, running.port, within_s=20)
            wait_until(lambda: running.captures()["one.dat"]["state"] == "retired", within_s=40, told=running.stories)
        yield sandbox.url, raw


def whole(files, folder):
    """Return the source, from its files by name, by the decoder of the documents (docs/design/container.md)."""
    copy = folder / "copy"
    copy.mkdir()
    for name, data in files.items():
        (copy / name).write_bytes(data)
    subprocess.run([sys.executable, DECODER, copy, folder / "back.dat"], check=True)
    return (folder / "back.dat").read_bytes()


def test_xnatpy_reads_what_was_delivered(delivered, tmp_path):
    url, raw = delivered
    with xnat.connect(url, user="reader", password="reader", loglevel="ERROR") as session:
        (experiment,) = session.projects["DEMO"].experiments.values()
        (scan,) = [s for s in experiment.scans.values() if "KSPACE" in s.resources]
        resource = scan.resources["KSPACE"]
        files = {}
        for file in resource.files.values():
            file.download(str(tmp_path / "one"), verbose=False)
            files[file.path.rpartition("/")[2]] = (tmp_path / "one").read_bytes()
        assert resource.format == "TWIX"
    assert json.loads(files["manifest.json"])["source"]["sha256"] == raw.sha256
    assert hashlib.sha256(whole(files, tmp_path)).hexdigest() == raw.sha256
    assert json.loads(files["receipt.json"])["receipt"]["source"]["sha256"] == raw.sha256


def test_pyxnat_reads_what_was_delivered(delivered, pyxnat, tmp_path):
    url, raw = delivered
    interface = pyxnat.Interface(server=url, user="reader", password="reader")
    (found,) = interface.select("/projects/DEMO/subjects/*/experiments/*").get("id")
    experiment = interface.select.experiment(found)
    files = {}
    for scan in experiment.scans():
        resource = scan.resource("KSPACE")
        if not resource.exists():
            continue
        for file in resource.files():
            file.get(str(tmp_path / "one"))
            files[file.label().rpartition("/")[2]] = (tmp_path / "one").read_bytes()
    interface.disconnect()
    assert hashlib.sha256(whole(files, tmp_path)).hexdigest() == raw.sha256
