"""An image that comes again while its file is freed: it is answered Success only where a file stays."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from dicom.inbox import Received, Status
from dicom.records import Instance, Series, Study
from kspace.errors import SpoolError
from transfer.catalog import tables
from transfer.feeds.sweep import free_unwanted
from transfer.inbox import CatalogInbox
from transfer.routing import Route
from transfer.states import DeliveryState


@pytest.fixture
def inbox(database, clock, tmp_path):
    route = Route(destinations=("central",), project="P")
    return CatalogInbox(database, notes=tmp_path / "notes", routes=[route], clock=clock, machine="box-1", quiet_s=1.0)


@pytest.fixture
def receive(tmp_path):
    """Let a file lie on the shelf, as the listener does it before it asks for the row."""

    def _receive(number: int, content: str = "a") -> Received:
        path = tmp_path / f"{number}{content}.dcm"
        path.write_text(content)
        series = Series(series_uid="1.1", study_uid="1", number=1, serial="4711")
        return Received(
            path=path,
            size=1,
            sha256=f"{number}{content}".ljust(64, "0"),
            study=Study(study_uid="1"),
            series=series,
            instance=Instance(sop_uid=f"1.1.{number}", sop_class="1.2", transfer_syntax="1.2"),
            calling_ae="SCANNER",
            called_ae="KSPACE",
            peer="127.0.0.1",
        )

    return _receive


class Held:
    """A clock that stands still at its second look, which is after the files are gone and before that is committed."""

    def __init__(self) -> None:
        self.looks = 0
        self.is_at_it, self.may_go_on = threading.Event(), threading.Event()

    def now(self) -> datetime:
        self.looks += 1
        if self.looks == 2:
            self.is_at_it.set()
            assert self.may_go_on.wait(60)
        return datetime(2026, 3, 2, tzinfo=UTC)


def test_one_that_was_freed_as_it_came_again_harms_no_other(inbox, receive, database, clock):
    assert inbox.accept([receive(1)]) == [Status.SUCCESS]
    with database.write() as connection:
        connection.execute(update(tables.instance).values(freed_at=clock.now()))
    again, other = receive(1), receive(2)
    again.path.unlink()
    refused, taken = inbox.accept([again, other])
    assert isinstance(refused, SpoolError)
    assert taken is Status.SUCCESS
    assert inbox.accept([receive(1)]) == [Status.SUCCESS]
    with database.read() as connection:
        assert connection.execute(select(tables.instance.c.freed_at)).scalars().all() == [None, None]


def test_no_success_for_a_file_that_is_being_freed(inbox, receive, database):
    second = receive(1, "b")
    assert inbox.accept([receive(1), second]) == [Status.SUCCESS] * 2
    with database.write() as connection:
        connection.execute(update(tables.delivery).values(state=DeliveryState.VERIFIED))
        study_id = connection.execute(select(tables.study.c.id)).scalar_one()
    clock = Held()
    with ThreadPoolExecutor(2) as threads:
        freeing = threads.submit(free_unwanted, database, study_id, reason="test", actor="a person", clock=clock)
        assert clock.is_at_it.wait(60)
        assert not second.path.exists()
        coming = threads.submit(inbox.accept, [second])
        threading.Event().wait(0.5)  # it either waits for the row, or has answered by now
        clock.may_go_on.set()
        assert freeing.result()[0] >= 1
        [answer] = coming.result()
    assert isinstance(answer, SpoolError)
