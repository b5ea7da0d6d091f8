"""Deleting at a source: everything tries hard to have something deleted that is not proved, and fails."""

import json
import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from typer.testing import CliRunner

from kspace.clock import SystemClock
from kspace.errors import BadInput
from kspace.sources.deleting import Deleter
from kspace.sources.limiting import Limiter
from tests.integration.disks import small_disk
from tests.property.deleting import BYTES, NOW, OTHER, PATH, WRONG, World, killed
from transfer.app.cli import app
from transfer.catalog import tables
from transfer.feeds.delete import approve


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return what makes a world in a folder: a copy of one that was filled once, which is quicker."""
    first = tmp_path_factory.mktemp("first")
    World(first).fill().close()
    worlds = []

    def _make(folder: Path) -> World:
        shutil.copytree(first, folder, dirs_exist_ok=True)
        worlds.append(World(folder))
        return worlds[-1]

    yield _make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make, tmp_path):
    return make(tmp_path)


def test_what_is_proved_in_every_way_is_deleted_and_the_journal_tells(world):
    world.approve()
    world.run()
    assert world.journal() == [("deleted", None)]
    assert list(world.share.rglob("*")) == [world.path.parent]
    with world.database.read() as connection:
        said = connection.execute(select(tables.event.c.verb, tables.event.c.actor).order_by(tables.event.c.id)).all()
        gone_at = connection.execute(select(tables.source_file.c.gone_at)).scalar_one()
    assert [tuple(row) for row in said] == [
        ("source.deletion_approved", "somebody"),
        ("source.deletion_intended", "relay"),
        ("source.deletion_deleted", "relay"),
    ]
    assert gone_at == NOW


def test_nothing_goes_that_nobody_approved_and_nothing_is_approved_that_was_not_listed(world):
    with pytest.raises(BadInput, match="no list"):
        approve(world.database, world.terms, actor="somebody", clock=world.clock)
    world.run()
    assert world.path.read_bytes() == BYTES


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("when", ["before it is listed", "after it is approved", "while archives prove it"])
def test_whatever_is_wrong_keeps_the_file(world, wrong, when):
    if when == "before it is listed":
        WRONG[wrong](world)
        world.approve()
    elif when == "after it is approved":
        world.approve()
        WRONG[wrong](world)
    else:
        world.approve()
        world.while_proving = once(lambda: WRONG[wrong](world))
    kept = set()
    for _ in range(2):
        world.run()
        kept.add(world.path.is_file())
    assert kept == {True}
    assert "deleted" not in {step for step, _ in world.journal()}
    assert not list(world.share.rglob("*.deleting"))


def once(act):
    """Return what does it at its first call alone."""
    left = [act]

    def run() -> None:
        if left:
            left.pop()()

    return run


@given(st.data())
@settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_several_wrongs_make_no_right(make, tmp_path_factory, data):
    world = make(tmp_path_factory.mktemp("world"))
    moments = {
        name: data.draw(st.sampled_from(["listed", "approved", "proving", "never"]), label=name) for name in WRONG
    }
    chosen = {name: moment for name, moment in moments.items() if moment != "never"}
    act = {moment: [WRONG[name] for name, when in chosen.items() if when == moment] for moment in chosen.values()}

    def meddle(moment: str) -> None:
        for wrong in act.get(moment, ()):
            try:
                wrong(world)
            except OSError:
                continue  # one wrong leaves nothing for another

    meddle("listed")
    world.approve()
    meddle("approved")
    world.while_proving = once(lambda: meddle("proving"))
    world.run()
    assert ("deleted" in {step for step, _ in world.journal()}) == (not chosen)
    assert world.path.exists() == bool(chosen)


def test_a_file_that_takes_the_name_at_the_last_moment_keeps_it(world):
    """Between the last look and the move aside: what was moved is another file, and it gets its name back."""

    class Late(Deleter):
        def _move_aside(self, name, aside, folder):
            world.replace(OTHER)
            super()._move_aside(name, aside, folder)

    world.approve()
    world.run(Late)
    assert world.path.read_bytes() == OTHER
    assert world.journal()[0][0] == "kept"
    assert not list(world.share.rglob("*.deleting"))


def test_a_file_that_takes_the_name_after_the_move_is_not_touched(world):
    class Later(Deleter):
        def _move_aside(self, name, aside, folder):
            super()._move_aside(name, aside, folder)
            world.write(OTHER)

    world.approve()
    world.run(Later)
    assert world.path.read_bytes() == OTHER
    assert world.journal() == [("deleted", None)]


CALLS = 15
"""Calls to the system of one deletion, reads left out: `test_every_call_was_tried` counts them."""


def kill_at(world: World, number: int, *, is_after: bool) -> int:
    world.approve()
    return killed(world.folder, number, is_after=is_after)


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_killed_at_any_call_it_is_deleted_or_at_its_place_and_known_as_such(world, number):
    assert kill_at(world, number, is_after=number % 2 == 0) == -9
    world.proves = False  # and meanwhile an archive loses it: nothing more may go
    was_unlinked = not list(world.path.parent.iterdir())
    world.run()
    assert world.path.exists() == (not was_unlinked)
    assert not list(world.share.rglob("*.deleting"))
    assert world.journal()[0][0] == ("deleted" if was_unlinked else world.journal()[0][0])
    if not was_unlinked:
        assert world.path.read_bytes() == BYTES
        assert world.journal()[0][0] in {"kept", "approved"}


def calls_of(make, folder: Path) -> list[str]:
    """Return the calls of one deletion, reads left out."""
    calls = []

    class Counting(Deleter):
        def _call(self, act, call):
            calls.append(act)
            return super()._call(act, call)

    world = make(folder)
    world.approve()
    world.run(Counting)
    return [act for act in calls if act != "read a file"]


def test_every_call_was_tried(make, tmp_path):
    assert len(calls_of(make, tmp_path)) == CALLS


def test_killed_between_the_move_and_the_unlink_a_new_file_keeps_the_name(world, make, tmp_path):
    assert kill_at(world, calls_of(make, tmp_path / "other").index("delete a file") + 1, is_after=False) == -9
    (aside,) = world.share.rglob("*.deleting")
    assert world.listed() == [], "what lies aside is no raw file"
    world.write(OTHER)
    world.run()
    assert world.path.read_bytes() == OTHER
    assert aside.read_bytes() == BYTES
    ((step, reason),) = world.journal()
    assert step == "kept"
    assert aside.name in reason


def test_a_file_of_another_account_gets_its_name_back_too():
    """In a folder that the relay serves the files are the console's: the relay may rename them, and not link them."""
    nobody, console = 65_534, 1
    with TemporaryDirectory(dir="/dev/shm") as name:
        aside = Path(name, ".kspace-box-1.deleting")
        aside.write_bytes(BYTES)
        for path, owner, mode in ((aside, console, 0o640), (Path(name), nobody, 0o770)):
            path.chmod(mode)
            os.chown(path, owner, nobody)
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([nobody])
                os.setgid(nobody)
                os.setuid(nobody)
                limiter = Limiter(mbit_per_s=100_000, clock=SystemClock())
                Deleter(Path(name), limiter=limiter, within_s=20.0).restore("a.dat", aside=aside.name)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert [path.name for path in Path(name).iterdir()] == ["a.dat"]


def test_two_relays_at_one_share_delete_once_and_nothing_else(tmp_path):
    worlds = [World(tmp_path, machine=name).fill() for name in ("one", "two")]
    for world in worlds:
        world.approve()
    gate = threading.Barrier(2)
    for world in worlds:
        world.while_proving = once(gate.wait)
    threads = [threading.Thread(target=world.run) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(worlds[0].path.parent.iterdir()) == []
    assert sorted(world.journal()[0][0] for world in worlds) == ["deleted", "kept"]
    for world in worlds:
        world.close()


def test_a_share_that_is_read_only_keeps_everything_and_it_is_said(tmp_path, requires):
    with small_disk(tmp_path / "disk", size=64 << 20, requires=requires) as disk:
        (tmp_path / "share").symlink_to(disk.folder)
        world = World(tmp_path).fill()
        world.approve()
        with disk.read_only():
            world.run()
        ((step, reason),) = world.journal()
        assert (step, world.path.read_bytes()) == ("kept", BYTES)
        assert "Nothing was deleted" in reason
        world.close()


def test_a_day_takes_no_more_than_its_limits(world):
    with world.database.write() as connection:
        for number in range(2, 9):
            row = dict(
                connection.execute(select(tables.source_file).where(tables.source_file.c.id == 1)).mappings().one()
            )
            connection.execute(tables.source_file.insert().values(row | {"id": number, "path": f"{number}.dat"}))
            row = dict(connection.execute(select(tables.capture).where(tables.capture.c.id == 1)).mappings().one())
            twin = {"id": number, "source_file_id": number, "state": "skipped"}  # the very bytes of the first
            connection.execute(tables.capture.insert().values(row | twin))
            world.write(BYTES, world.share / f"{number}.dat")
    world.approve()
    world.run()
    assert len(world.listed()) == 8 - world.terms.files_per_day
    world.run()
    assert len(world.listed()) == 8 - world.terms.files_per_day
    world.clock.sleep(90_000)
    world.run()
    assert world.listed() == []
    assert PATH not in world.listed()


CONFIG = """
[relay]
name = "box"
folder = "{at}/relay"
catalog = "sqlite:///{at}/box.sqlite"

[[scanner]]
name = "prisma"
  [[scanner.source]]
  kind = "share"
  path = "{at}/share"
  delete = {{ consent = "box may delete on prisma", by = "Head of MR", hold_s = 86400.0 }}
"""


def test_a_person_lists_reads_and_approves_at_the_command_line(world):
    (world.folder / "relay").mkdir()
    shutil.copy(world.folder / "box.pem", world.folder / "relay/receipt-key.pem")
    config = world.folder / "relay.toml"
    config.write_text(CONFIG.format(at=world.folder))

    def kspace(*words: str):
        return CliRunner().invoke(app, ["delete-at-source", *words, "-c", str(config)])

    assert "There is no list of prisma/1" in str(kspace("prisma/1", "--for-real").exception)
    said = kspace("prisma/1").stdout
    assert "1 files (0.0 GB). Nothing is yet." in said
    assert PATH in said
    assert world.path.exists()
    assert json.loads(kspace("prisma/1", "--for-real", "--json").stdout) == {"approved": [1]}
    assert world.path.read_bytes() == BYTES, "the relay does it, after it has proved everything once more"
    world.clock.at = datetime.now(UTC)
    world.run()
    assert not world.path.exists()
    assert "Nothing is ever deleted at prisma/2" in str(kspace("prisma/2").exception)
