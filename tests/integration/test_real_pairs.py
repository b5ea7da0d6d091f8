"""The whole way on real files: VB19A raw data and their DICOM, one session, found on a share and sent by storescu."""

import hashlib
import json
import shutil
import subprocess
import threading

import psycopg
import pytest
from typer.testing import CliRunner

from transfer.app.cli import app
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.config import load_config
from transfer.sandbox import Project, Sandbox, SandboxSettings, User

_PAIRS = "twix/vb19-pairs"
_CONFIG = """
[relay]
name = "box"
folder = "{folder}/relay"
{catalog}
backoff_s = 0.2
keep_s = 3600
no_series_after_s = 3
chunk_bytes = 262144
[dicom]
port = 0
quiet_s = 1
[[scanner]]
name = "trio"
practice = true
poll_s = 0.5
quiet_s = 0.5
patience_s = 2
[[scanner.source]]
kind = "share"
path = "{folder}/share"
[[destination]]
name = "central"
kind = "xnat"
url = "{url}"
user = "relay"
password = {{ file = "{folder}/password" }}
part_bytes = 500000
[[route]]
destinations = ["central"]
project = "QC"
subject = "phantom"
[[rule]]
name = "all"
project = "QC"
"""
_FIRST = "meas_MID00109_FID33066_sol13.dat"
_SAME = "again/meas_MID00109_FID33066_sol13.dat"
_TWIN = "meas_MID00107_FID33064_sol12_again.dat"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def catalog(request):
    """Return the configuration's line that names the catalog: none for SQLite, which is the default."""
    if request.param == "sqlite":
        return ""
    folder = request.getfixturevalue("postgres_server")
    with psycopg.connect(host=str(folder), user="relay", dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE real_pairs")
    return f'catalog = "postgresql+psycopg://relay@/real_pairs?host={folder}"'


@pytest.fixture(scope="module")
def delivered(data_folder, requires, tmp_path_factory, catalog):
    """Run the relay on the real session until nothing moves any more; yield its configuration and stories by name."""
    folder = tmp_path_factory.mktemp("real")
    share = folder / "share"
    shutil.copytree(data_folder / _PAIRS, folder / "given")
    share.mkdir()
    for path in (folder / "given").glob("*.dat"):
        shutil.copy(path, share)
    # The same measurement once more with other bytes, as a retro-reconstruction leaves it.
    twin = bytearray((share / "meas_MID00107_FID33064_sol12.dat").read_bytes())
    twin[600_000] ^= 1
    (share / _TWIN).write_bytes(twin)
    # An export made twice: the same bytes under another name.
    (share / "again").mkdir()
    shutil.copy(share / "meas_MID00109_FID33066_sol13.dat", share / _SAME)
    (folder / "password").write_text("secret\n")
    settings = SandboxSettings(
        users=(User(name="relay", password="secret", roles={"QC": "member"}),),
        projects=(Project(id="QC", prearchive_code=4),),
        archive_delay_s=1.0,
    )
    with Sandbox(folder / "archive", settings) as sandbox:
        config = folder / "relay.toml"
        config.write_text(_CONFIG.format(folder=folder, url=sandbox.url, catalog=catalog))
        box = Box(load_config(config))
        [listener], engine = box.listeners(), box.engine()
        listener.start()
        engine.start()
        images = sorted((folder / "given").glob("*.IMA"))
        command = [requires("storescu"), "-aec", "KSPACE", "127.0.0.1", str(listener.port), *map(str, images)]
        subprocess.run(command, check=True, capture_output=True)
        _wait(box)
        yield config, _stories(box), share
        listener.stop()
        engine.stop()
        box.close()


def _stories(box):
    with box.database.read() as connection:
        rows = lists.captures(connection)
        return {row["path"]: lists.story(connection, row["id"]) for row in rows}


def _wait(box):
    pause = threading.Event()
    for _ in range(400):
        if sorted(s["state"] for s in _stories(box).values()) == [*4 * ["delivered"], "skipped"]:
            return
        pause.wait(0.1)
    with box.database.read() as connection:
        pytest.fail(f"{lists.captures(connection)} {lists.deliveries(connection)} {lists.alerts(connection)}")


@pytest.mark.parametrize(
    ("name", "scan"),
    [
        ("meas_MID00107_FID33064_sol12.dat", "53"),
        (_FIRST, "55"),
        (_TWIN, "53"),
    ],
)
def test_raw_data_reach_the_scan_of_their_series_and_verify(delivered, name, scan):
    _, stories, share = delivered
    story = stories[name]
    if name == _FIRST and story["state"] == "skipped":
        story = stories[_SAME]  # whichever of the two copies was read first
    (sent,) = story["deliveries"]
    assert sent["state"] == "verified"
    assert f"/scans/{scan}/resources/KSPACE" in sent["place"]
    assert story["sha256"] == hashlib.sha256((share / name).read_bytes()).hexdigest()
    assert json.loads(sent["receipt"])["receipt"]["source"]["sha256"] == story["sha256"]
    assert len(sent["parts"]) > 1


def test_raw_data_of_a_known_study_without_a_series_reach_the_session_itself(delivered):
    _, stories, _ = delivered
    story = stories["meas_MID00101_FID33058_ex01.dat"]
    assert story["matches"][-1]["certainty"] == "study only"
    assert "/scans/" not in story["deliveries"][0]["place"]


def test_images_without_raw_data_have_none(delivered):
    _, stories, _ = delivered
    assert not any("/scans/60/" in d["place"] for s in stories.values() for d in s["deliveries"])


def test_the_reasons_are_words_a_researcher_understands(delivered):
    _, stories, _ = delivered
    reason = stories["meas_MID00107_FID33064_sol12.dat"]["matches"][-1]["reason"]
    assert "same scanner 35287" in reason
    assert "18:20:56.2325 is readout 1 of 256" in reason
    assert "protocol number -222 on both sides" in reason


def test_two_raw_files_of_one_scan_share_no_folder(delivered):
    _, stories, _ = delivered
    places = [stories[n]["deliveries"][0] for n in ("meas_MID00107_FID33064_sol12.dat", _TWIN)]
    assert places[0]["place"] == places[1]["place"]
    folders = [json.loads(p["receipt"])["receipt"]["folder"] for p in places]
    assert folders[0] != folders[1]


def test_an_export_made_twice_is_delivered_once(delivered):
    _, stories, _ = delivered
    same, first = (stories[n] for n in (_SAME, _FIRST))
    skipped, kept = (same, first) if same["state"] == "skipped" else (first, same)
    assert skipped["reason"] == f"The same bytes as capture {kept['id']}, which goes on for both."
    assert (len(skipped["deliveries"]), len(kept["deliveries"])) == (0, 1)


def test_restore_gives_back_every_original_byte(delivered, tmp_path):
    config, stories, share = delivered
    for name, story in stories.items():
        if story["state"] == "skipped":
            continue
        target = tmp_path / name
        said = CliRunner().invoke(app, ["restore", str(story["id"]), "-o", str(target), "-c", str(config)])
        assert said.exit_code == 0, said.output
        assert target.read_bytes() == (share / name).read_bytes()


def test_verify_asks_the_archive_again(delivered):
    config, stories, _ = delivered
    number = str(stories["meas_MID00107_FID33064_sol12.dat"]["id"])
    said = CliRunner().invoke(app, ["verify", number, "--deep", "-c", str(config)])
    assert said.exit_code == 0, said.output
    assert "as on the scanner" in said.output


@pytest.mark.parametrize("verb", [["status"], ["status", "--json"], ["show", "1"], ["show", "1", "--json"], ["check"]])
def test_people_and_programs_can_look(delivered, verb):
    config, _, _ = delivered
    said = CliRunner().invoke(app, [*verb, "-c", str(config)])
    assert said.exit_code == 0, said.output
    if "--json" in verb:
        json.loads(said.stdout)
