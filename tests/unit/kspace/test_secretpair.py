"""A pair of secrets is replaced whole: whoever reads gets the old pair or the new one, whatever happened in between."""

import os
import signal
import sys
import threading

import pytest

from kspace.errors import ConfigError
from kspace.secret import Secret
from kspace.secretpair import SecretPair

OLD, NEW = ("alias-1", "secret-1"), ("alias-2", "secret-2")
_STEPS = frozenset({"open", "os.rename", "os.remove"})
_MANY = 40


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "alias").write_text(OLD[0] + "\n")
    (tmp_path / "password").write_text(OLD[1] + "\n")
    (tmp_path / "password").chmod(0o640)
    return SecretPair(Secret(file=tmp_path / "alias"), Secret(file=tmp_path / "password"))


def apart(work):
    """Do it in a process of its own, and return how that ended."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(step, work):
    """Do it in a process that is killed just before its n-th touch of a file."""

    def hook(event, _):
        nonlocal step
        if event in _STEPS:
            step -= 1
            if not step:
                os.kill(os.getpid(), signal.SIGKILL)

    def watched():
        sys.addaudithook(hook)
        work()

    return apart(watched)


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_both_files_are_replaced_with_the_rights_they_had(tmp_path, pair):
    assert pair.hindrance() is None
    assert pair.replace(NEW, instead_of=OLD)
    assert pair.reveal() == NEW
    assert [(tmp_path / name).read_text() for name in ("alias", "password")] == list(NEW)
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["alias", "password"]


def test_a_kill_between_any_two_steps_leaves_a_whole_pair(tmp_path, pair):
    seen = []
    for step in range(1, _MANY):
        pair.finish()
        pair.replace(OLD, instead_of=pair.reveal())
        if killed_at(step, lambda: pair.replace(NEW, instead_of=OLD)) == 0:
            break
        seen.append(pair.reveal())
        assert seen[-1] in {OLD, NEW}
        written = tuple((tmp_path / name).read_text() for name in ("alias", "password"))
        assert written == OLD or seen[-1] == NEW
        pair.finish()
        assert tuple((tmp_path / name).read_text() for name in ("alias", "password")) == seen[-1]
        again = SecretPair(Secret(file=tmp_path / "alias"), Secret(file=tmp_path / "password"))
        assert again.reveal() == seen[-1]
    assert step < _MANY - 1, "it never came to its end"
    assert len(seen) > 10
    assert seen.index(NEW) == seen.count(OLD), "once it is new it stays new"
    assert names(tmp_path) == ["alias", "password"]


def test_readers_never_see_halves(pair):
    """Both ways at once: the pair that a reader gets was written as one."""
    stop, seen = threading.Event(), set()

    def write():
        for number in range(100):
            pair.replace((f"a{number}", f"s{number}"), instead_of=pair.reveal())
        os._exit(0)

    def read():
        while not stop.is_set():
            seen.add(pair.reveal())

    reader = threading.Thread(target=read)
    child = os.fork()
    if not child:
        write()
    reader.start()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    reader.join()
    assert pair.reveal() == ("a99", "s99")
    assert len(seen) > 1
    assert all(alias.lstrip("alis-") == secret.lstrip("secrt-") for alias, secret in seen)


def test_of_two_that_replace_the_same_one_wins_and_the_other_says_so(pair):
    children = []
    for number in range(8):
        child = os.fork()
        if not child:
            os._exit(0 if pair.replace((f"a{number}", f"s{number}"), instead_of=OLD) else 3)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(ends) == [0] + [3] * 7
    number = ends.index(0)
    assert pair.reveal() == (f"a{number}", f"s{number}")


def test_what_comes_from_the_environment_is_for_a_person(tmp_path, monkeypatch):
    monkeypatch.setenv("KSPACE_ALIAS_UNDER_TEST", "a")
    (tmp_path / "password").write_text("s")
    pair = SecretPair(Secret(env="KSPACE_ALIAS_UNDER_TEST"), Secret(file=tmp_path / "password"))
    assert pair.reveal() == ("a", "s")
    assert "files" in pair.hindrance()


def test_a_folder_that_does_not_take_the_files_leaves_the_old_pair(tmp_path, pair):
    (tmp_path / "..password.pair.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        pair.replace(NEW, instead_of=OLD)
    assert pair.reveal() == OLD


def test_a_pair_half_way_that_cannot_be_read_is_named_and_not_quoted(tmp_path, pair):
    (tmp_path / ".password.pair").write_text('["alias-3"')
    with pytest.raises(ConfigError, match="half-way") as said:
        pair.reveal()
    assert "alias-3" not in str(said.value)


@pytest.mark.parametrize("written", [("alias", "password"), ("alias",), ("password",)])
def test_what_a_person_writes_into_a_half_way_replacement_stays(tmp_path, pair, written):
    """Killed as the new pair counts and neither file has it yet: then both are put right by hand, or one is so far."""
    step = 1
    while not (tmp_path / ".password.pair").exists():
        killed_at(step, lambda: pair.replace(NEW, instead_of=OLD))
        step += 1
    assert pair.reveal() == NEW
    for name in written:
        (tmp_path / name).write_text(f"{name}-3\n")
    theirs = tuple((tmp_path / name).read_text().strip() for name in ("alias", "password"))
    assert pair.reveal() == theirs
    pair.finish()
    assert pair.reveal() == theirs
    assert names(tmp_path) == ["alias", "password"]


def test_links_lead_to_what_is_replaced(tmp_path, pair):
    (tmp_path / "links").mkdir()
    for name in ("alias", "password"):
        (tmp_path / "links" / name).symlink_to(tmp_path / name)
    linked = SecretPair(Secret(file=tmp_path / "links/alias"), Secret(file=tmp_path / "links/password"))
    assert linked.replace(NEW, instead_of=OLD)
    assert pair.reveal() == linked.reveal() == NEW
    assert (tmp_path / "links/alias").is_symlink()
