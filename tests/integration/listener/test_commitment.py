"""Storage commitment: asked by pynetdicom's user, answered once it is true, on an association of its own."""

import socket
from contextlib import closing, contextmanager

import pydicom
import pytest
from dicom_callers import wait_for
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import MRImageStorage, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from relay_here import Clock, Site

from dicom.listener import Listener

HERE = "here: a failing disk then loses what the scanner deleted"
NOT_HERE, CONFLICT, NOT_YET = 0x0112, 0x0119, 0x0110


class Console:
    """A scanner's console, which stores, asks, and takes reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.answer = 0
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @contextmanager
    def open(self):
        entity = AE("CONSOLE")
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._take)]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            server.shutdown()

    @contextmanager
    def calls(self, listener: Listener):
        entity = AE("CONSOLE")
        entity.add_requested_context(MRImageStorage)
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.4.1")
        entity.add_requested_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._take)]
        association = entity.associate("127.0.0.1", listener.port, ae_title="KSPACE", evt_handlers=handlers)
        try:
            yield association
        finally:
            association.release()

    def asks(self, listener: Listener, *wanted: tuple[str, str], transaction: str = "1.2.99") -> int:
        with self.calls(listener) as association:
            return ask(association, *wanted, transaction=transaction)

    def told(self) -> tuple[int, set[str], dict[str, int]]:
        """Return the last report: its type, what is committed, and why the rest is not."""
        event_type, said = self.reports[-1]
        kept = {i.ReferencedSOPInstanceUID for i in said.get("ReferencedSOPSequence", [])}
        failed = {i.ReferencedSOPInstanceUID: i.FailureReason for i in said.get("FailedSOPSequence", [])}
        return event_type, kept, failed

    def _take(self, event: evt.Event) -> tuple[int, None]:
        if self.answer == 0:
            self.reports.append((event.event_type, event.event_information))
        return self.answer, None


def ask(association, *wanted: tuple[str, str], transaction: str = "1.2.99", action: int = 1, instance=None) -> int:
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for sop_class, sop_uid in wanted:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        asked.ReferencedSOPSequence.append(item)
    of = instance or StorageCommitmentPushModelInstance
    return association.send_n_action(asked, action, StorageCommitmentPushModel, of)[0].Status


@pytest.fixture
def console():
    return Console()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def site(tmp_path, console, clock):
    """Opens a site on the same folder, again and again."""

    def _site(**settings):
        known = {"report_to": {"CONSOLE": f"127.0.0.1:{console.port}"}} | settings
        return Site(tmp_path, clock, **known).open()

    return _site


@pytest.fixture
def wanted(images) -> list[tuple[str, str]]:
    return [(d.SOPClassUID, d.SOPInstanceUID) for d in map(pydicom.dcmread, images)]


def store(console, listener, *paths) -> None:
    with console.calls(listener) as association:
        assert [association.send_c_store(path).Status for path in paths] == [0] * len(paths)


def uids(wanted) -> set[str]:
    return {uid for _, uid in wanted}


def test_nothing_is_promised_before_the_archive_has_it_and_a_restart_forgets_nothing(
    site, console, clock, images, wanted
):
    with console.open():
        with site() as at:
            store(console, at.listener, *images)
            assert console.asks(at.listener, *wanted) == 0
            assert at.report() == 0
        clock.passes(hours=5)
        with site() as again:
            assert again.report() == 0
            again.archive()
            clock.passes(minutes=2)
            assert again.report() == 1
            assert again.report() == 0
    assert console.told() == (1, uids(wanted), {})
    assert console.reports[0][1].TransactionUID == "1.2.99"


def test_what_is_not_here_or_is_something_else_is_said_so(site, console, images, wanted):
    sop_class, other = wanted[0][0], wanted[1][1]
    with console.open(), site() as at:
        store(console, at.listener, images[0], images[1])
        at.archive()
        assert console.asks(at.listener, wanted[0], ("1.2.840.10008.5.1.4.1.1.4.2", other), (sop_class, "1.2.3")) == 0
        assert at.report() == 1
    assert console.told() == (2, {wanted[0][1]}, {other: CONFLICT, "1.2.3": NOT_HERE})


def test_what_the_archive_does_not_have_in_time_is_reported_as_failed(site, console, clock, images, wanted):
    with console.open(), site(commit_within_s=3600) as at:
        store(console, at.listener, images[0])
        assert console.asks(at.listener, wanted[0]) == 0
        clock.passes(minutes=59)
        assert at.report() == 0
        clock.passes(minutes=2)
        assert at.report() == 1
    assert console.told() == (2, set(), {wanted[0][1]: NOT_YET})


def test_what_the_archive_refused_or_a_filter_left_out_is_not_promised(site, console, clock, images, wanted):
    with console.open(), site() as at:
        store(console, at.listener, images[0], images[2])
        at.archive(but=pydicom.dcmread(images[2]).SeriesInstanceUID)
        assert console.asks(at.listener, wanted[0], wanted[2]) == 0
        assert at.report() == 0
        clock.passes(days=4)
        assert at.report() == 1
    assert console.told() == (2, {wanted[0][1]}, {wanted[2][1]: NOT_YET})


def test_two_objects_under_one_uid_are_never_promised(site, console, images, wanted, tmp_path):
    other = pydicom.dcmread(images[0])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "other.dcm")
    with console.open(), site() as at:
        store(console, at.listener, images[0], tmp_path / "other.dcm")
        at.archive()
        assert console.asks(at.listener, wanted[0]) == 0
        assert at.report() == 1
    assert console.told() == (2, set(), {wanted[0][1]: NOT_YET})


def test_a_console_that_is_away_is_told_later_and_a_person_meanwhile(site, console, clock, images, wanted):
    with site() as at:
        store(console, at.listener, images[0])
        at.archive()
        assert console.asks(at.listener, wanted[0]) == 0
        for _ in range(3):
            assert at.report() == 0
            assert at.report() == 0
            clock.passes(minutes=3)
        assert ["CONSOLE asked" in text for text in at.alerts()] == [True]
        with console.open():
            console.answer = 0x0110
            assert at.report() == 0
            console.answer = 0
            clock.passes(hours=1)
            assert at.report() == 1
        assert at.alerts() == []
    assert console.told() == (1, {wanted[0][1]}, {})


def test_a_console_without_an_address_is_told_while_it_waits(site, console, images, wanted):
    with site(report_to=None, commit_when=HERE) as at, console.calls(at.listener) as association:
        assert association.send_c_store(images[0]).Status == 0
        assert ask(association, wanted[0]) == 0
        wait_for(lambda: console.reports)
        assert association.send_c_store(images[1]).Status == 0
        assert at.report() == 0
    assert console.told() == (1, {wanted[0][1]}, {})


def test_kept_here_counts_only_where_the_configuration_says_so(site, console, images, wanted):
    with console.open(), site(commit_when=HERE) as at:
        store(console, at.listener, images[0])
        assert console.asks(at.listener, wanted[0], wanted[1]) == 0
        assert at.report() == 1
    assert console.told() == (2, {wanted[0][1]}, {wanted[1][1]: NOT_HERE})


def test_the_same_request_is_answered_again_and_another_under_its_name_refused(site, console, images, wanted):
    with console.open(), site(commit_when=HERE) as at:
        store(console, at.listener, images[0])
        assert console.asks(at.listener, wanted[0]) == 0
        assert console.asks(at.listener, wanted[1]) == 0x0115
        assert at.report() == 1
        assert console.asks(at.listener, wanted[0]) == 0
        assert at.report() == 1
    assert len(console.reports) == 2


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"action": 2}, 0x0123),
        ({"instance": "1.2.840.10008.1.20.1.2"}, 0x0112),
        ({"transaction": "1." * 40}, 0x0115),
    ],
)
def test_what_is_no_request_is_refused(site, console, wanted, said, status):
    with site() as at, console.calls(at.listener) as association:
        assert ask(association, wanted[0], **said) == status
        assert ask(association, wanted[0]) == 0


def test_a_request_for_nothing_is_refused(site, console):
    with site() as at:
        assert console.asks(at.listener) == 0x0115
