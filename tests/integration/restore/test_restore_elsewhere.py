"""What one archive lacks comes from the next."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from lost_box import SPAN, Lost, spoil
from typer.testing import CliRunner

from tests.integration.relay import Relay, send_until_taken, wait_until
from transfer.app.cli import app
from transfer.destinations.errors import NotHeld
from transfer.sandbox import Sandbox, SandboxSettings


@pytest.fixture
def both(delivered, lost) -> Iterator[Lost]:
    """Add a second archive with the same captures."""
    shutil.copytree(delivered[0], lost.folder / "second")
    with Sandbox(lost.folder / "second", SandboxSettings()) as second:
        Relay(folder=lost.folder, urls={"central": lost.url, "second": second.url}).write()
        yield lost


def in_second(both: Lost, file: str, name: str) -> Path:
    return replace(both, archive=both.folder / "second").stored(file, name)


def test_what_one_archive_damaged_or_lost_comes_from_the_next(both):
    spoil(both.stored(SPAN, "part-00002.bin"))
    both.stored(SPAN, "part-00003.bin").unlink()
    in_second(both, SPAN, "part-00001.bin").unlink()
    said = both.restore()
    assert (both.out / SPAN).read_bytes() == both.raws[SPAN].path.read_bytes()
    assert "identical to the file on the scanner" in said
    assert "bytes of it from central" in said
    assert "bytes of it from second" in said
    assert "part-00001.bin" in both.fetched()
    assert not list(both.out.glob(".*"))


def test_parts_that_are_cut_otherwise_elsewhere_fill_the_holes(delivered, lost):
    """The second archive was given parts of another size, and gives only what is missing."""
    folder = lost.folder / "other"
    with Sandbox(folder / "archive", SandboxSettings()) as other:
        relay = Relay(folder=folder, urls={"central": other.url}, part_bytes=400_000)
        (folder / "scanner").mkdir()
        shutil.copy(lost.raws[SPAN].path, folder / "scanner" / SPAN)
        with relay.running() as running:
            send_until_taken(lost.raws[SPAN].images, running.port, within_s=20)
            wait_until(
                lambda: {c["state"] for c in running.captures().values()} == {"retired"},
                within_s=60,
                told=running.stories,
            )
        Relay(folder=lost.folder, urls={"central": lost.url, "second": other.url}).write()
        spoil(lost.stored(SPAN, "part-00002.bin"))
        httpx.delete(f"{other.url}/sandbox/log")
        lost.restore()
        log = httpx.get(f"{other.url}/sandbox/log").json()
    assert (lost.out / SPAN).read_bytes() == lost.raws[SPAN].path.read_bytes()
    fetched = {r["path"] for r in log if r["method"] == "GET" and "/part-" in r["path"]}
    assert len(fetched) == 1


def test_a_damaged_manifest_or_a_silent_archive_is_no_matter_where_another_has_it(both):
    spoil(both.stored(SPAN, "manifest.json"))
    both.restore()
    assert (both.out / SPAN).read_bytes() == both.raws[SPAN].path.read_bytes()
    (both.out / SPAN).unlink()
    both.play(refuse=1.0, refuse_status=403, only="part-")
    assert "bytes of it from second" in both.restore()
    assert (both.out / SPAN).read_bytes() == both.raws[SPAN].path.read_bytes()


def test_what_no_archive_has_is_said_of_each_with_what_is_whole(both):
    spoil(both.stored(SPAN, "part-00003.bin"))
    in_second(both, SPAN, "part-00003.bin").unlink()
    said = both.fails(NotHeld)
    assert "central: 0000001" in said
    assert "second: 0000001" in said
    assert "part-00003.bin is missing" in said
    assert "Whole: measurement 1, 2 of 3" in said
    kept = both.fails(NotHeld, "--keep-damaged")
    assert "holds what there is" in kept
    damaged = (both.out / SPAN.replace(".dat", ".damaged.dat")).read_bytes()
    assert len(damaged) == len(both.raws[SPAN].path.read_bytes())


def test_a_session_that_one_archive_never_got_is_given_by_the_other_with_a_word(both):
    both.play(refuse=1.0, refuse_status=503)
    said = CliRunner().invoke(app, [*both.command(), "-o", str(both.out)])
    assert said.exit_code == 0, said.output
    assert "What only it has of the session is not restored" in said.stderr
    assert (both.out / SPAN).read_bytes() == both.raws[SPAN].path.read_bytes()
