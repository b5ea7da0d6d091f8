"""An archive with three captures, and a box that never sent anything."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from lost_box import SMALL, SPAN, VB, Lost

from tests.integration.relay import Raw, Relay, make, measurement, send_until_taken, wait_until
from transfer.sandbox import Sandbox, SandboxSettings


@pytest.fixture(scope="session")
def delivered(tmp_path_factory) -> tuple[Path, dict[str, Raw]]:
    """Deliver an XA file of three measurements and two VB files of one session; return the archive and the files."""
    folder = tmp_path_factory.mktemp("delivered")
    with Sandbox(folder / "archive", SandboxSettings()) as sandbox:
        relay = Relay(folder=folder, urls={"central": sandbox.url}, part_bytes=150_000)
        before = [measurement(n, readouts=24, protocol="adjust") for n in (91, 92)]
        raws = {SPAN: make(folder / "scanner" / SPAN, measurement(1, readouts=192), before=before)}
        for number, name in ((2, VB), (4, SMALL)):
            raws[name] = make(folder / "scanner" / name, measurement(number, baseline="VB"))
        with relay.running() as running:
            for raw in raws.values():
                send_until_taken(raw.images, running.port, within_s=20)
            ends = {"retired"}
            wait_until(
                lambda: {c["state"] for c in running.captures().values()} == ends, within_s=60, told=running.stories
            )
    return folder / "archive", raws


@pytest.fixture
def lost(delivered, tmp_path) -> Iterator[Lost]:
    """Start a copy of the archive and write a configuration for a box that never sent anything."""
    archive, raws = delivered
    shutil.copytree(archive, tmp_path / "archive")
    with Sandbox(tmp_path / "archive", SandboxSettings()) as sandbox:
        config = Relay(folder=tmp_path, urls={"central": sandbox.url}).write()
        rows = httpx.get(f"{sandbox.url}/data/projects/DEMO/experiments?format=json", auth=("reader", "reader")).json()
        labels = {row["label"] for row in rows["ResultSet"]["Result"]}
        xa = next(label for label in sorted(labels) if _has(sandbox.url, label, "0000001"))
        yield Lost(tmp_path, tmp_path / "archive", sandbox.url, config, xa, raws)


def _has(url: str, label: str, folder: str) -> bool:
    found = httpx.get(f"{url}/data/projects/DEMO/experiments/{label}", params={"format": "json"}, auth=("reader",) * 2)
    session = found.json()["items"][0]["data_fields"]["ID"]
    told = {"format": "json"}
    rows = httpx.get(
        f"{url}/data/experiments/{session}/scans/1/resources/KSPACE/files", params=told, auth=("reader",) * 2
    )
    return folder in rows.text
