"""RaidTool's listing: what it has is read as its columns stand, and no patient ever comes out of it."""

import pytest

from kspace.errors import BadInput
from kspace.raidlist import OnScanner, read_listing

HEADING = f"{'FileID':>7}{'MeasID':>11}{'ProtName':>32}{'PatName':>32}{'Status':>9}{'Size':>13}{'SizeOnDisk':>13}"
HEADING += f"{'CreationTime':>22}{'CloseTime':>22}"
OLD = HEADING.replace(f"{'ProtName':>32}{'PatName':>32}", f"{'ProtName':>16}")


def row(
    meas_id=21, protocol="t1_mprage sag", *, patient="DOE^JANE MARY,19700101", status="cld", at="31.01.2026 12:00:00"
):
    names = f"{protocol:>32}{patient:>32}" if patient is not None else f"{protocol:>16}"
    return f"{7:7}{meas_id:11}{names}{status:>9}{40_000_123:13}{40_001_024:13}{at:>22}{'31.01.2026 12:05:07':>22}"


def told(*lines, encoding="latin-1"):
    return read_listing("\r\n".join(lines).encode(encoding))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_a_line_is_read_without_its_patient(encoding):
    found = told("RaidTool", "", HEADING, row(), encoding=encoding)
    measured = OnScanner(
        file_id=7, meas_id=21, protocol="t1_mprage sag", status="cld", size=40_000_123, created="2026-01-31T12:00:00"
    )
    assert found == ([measured], 0)
    assert "DOE" not in repr(found)


def test_old_consoles_list_no_patient():
    ((measured,), unread) = told(OLD, row(patient=None))
    assert (measured.protocol, unread) == ("t1_mprage sag", 0)


@pytest.mark.parametrize(
    ("protocol", "patient"),
    [("p" * 33, "DOE"), ("p" * 32, "D" * 33), ("a b" * 20, "DOE^JANE"), ("x", "DOE, cld 5 5 " * 5)],
)
def test_names_that_run_over_their_columns_are_not_guessed_at(protocol, patient):
    ((measured,), unread) = told(HEADING, row(protocol=protocol, patient=patient))
    assert (measured.meas_id, measured.size, measured.protocol, unread) == (21, 40_000_123, None, 0)


def test_what_hangs_behind_a_line_or_below_it_is_no_measurement():
    found, unread = told(HEADING, row() + "  17 18 19", "     2 dependent files:", "     measID: 5", row(3_000_021))
    assert [one.meas_id for one in found] == [21, 3_000_021]
    assert [OnScanner.is_retro_id(one.meas_id) for one in found] == [False, True]
    assert unread == 0


@pytest.mark.parametrize(
    "line",
    [
        "Could not retrieve directory information",
        row(at="31/01/2026 12:00"),
        row(at="99.99.2026 12:00:00"),
        "\x00" * 90,
    ],
)
def test_a_line_that_cannot_be_read_is_counted(line):
    assert told(HEADING, line, row(status="wip"))[1] == 1


@pytest.mark.parametrize("text", ["", "notes of a technologist", row(), HEADING.replace("MeasID", "Number")])
def test_another_text_is_no_listing(text):
    with pytest.raises(BadInput, match="no listing of RaidTool"):
        told(text)
