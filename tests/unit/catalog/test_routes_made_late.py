"""Images that came before their route was made go out once it is, whether or not they are sent again."""

import pytest
from sqlalchemy import select

from dicom.inbox import Received
from dicom.records import Instance, Series, Study
from transfer.catalog import lists, tables
from transfer.inbox import CatalogInbox
from transfer.routing import Route

ROUTE = Route(destinations=("x",), project="P")


@pytest.fixture
def inbox(database, clock, tmp_path):
    def _inbox(*routes):
        return CatalogInbox(database, notes=tmp_path / "notes", routes=routes, clock=clock, machine="box", quiet_s=1.0)

    return _inbox


@pytest.fixture
def send(tmp_path):
    def _send(inbox):
        path = tmp_path / "incoming"
        path.write_bytes(b"image")
        study = Study(study_uid="1.2")
        series = Series(series_uid="1.2.3", study_uid="1.2")
        instance = Instance(sop_uid="1.2.3.4", sop_class="1.2", transfer_syntax="1.2")
        aes = {"calling_ae": "SCANNER", "called_ae": "KSPACE", "peer": "127.0.0.1"}
        told = {"study": study, "series": series, "instance": instance, "size": 5, "sha256": "ab" * 32}
        return inbox.accept([Received(path=path, **told, **aes)])[0]

    return _send


def deliveries(database):
    with database.read() as connection:
        d = tables.delivery.c
        return [tuple(row) for row in connection.execute(select(d.destination, d.project, d.state))]


def test_the_next_start_routes_what_waited_and_ends_its_alert(inbox, send, database):
    send(inbox())
    assert deliveries(database) == []
    with database.read() as connection:
        assert [a["key"] for a in lists.alerts(connection)] == ["route:KSPACE"]
    assert inbox(ROUTE).route_again() == 1
    assert deliveries(database) == [("x", "P", "queued")]
    assert inbox(ROUTE).route_again() == 0
    with database.read() as connection:
        assert lists.alerts(connection) == []


def test_the_same_image_sent_again_is_routed(inbox, send, database):
    send(inbox())
    send(inbox(ROUTE))
    assert deliveries(database) == [("x", "P", "queued")]
