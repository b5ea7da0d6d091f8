"""What RaidTool lists (`RaidTool -d`, also with `-v`): the measurements on the scanner's own store, without patients.

Each line has right-aligned columns under the names in the heading: `%7u%11u%32s%32s%9s%13I64u%13I64u%22s%22s`, and on
VB13 and VB15 no patient (yarra-framework/yarraclient `Client/rds_raid.cpp` and `rds_global.h`; raidToolGUI of
usb-radiology, `raidTool.py`). Names longer than their column move all that follows: then nobody can tell where the
protocol ends and the patient begins, and neither is kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from kspace.errors import BadInput

_HEADING = re.compile(
    r"\s*FileID\s+MeasID\s+(?P<protocol>ProtName)(?P<patient>\s+PatName)?(?P<status>\s+Status)(?P<size>\s+Size)"
    r"(?P<disk>\s+SizeOnDisk)(?P<created>\s+CreationTime)(?P<closed>\s+CloseTime)\s*"
)
_TIME = r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}:\d{2}"
_ROW = re.compile(
    rf"(?P<file>[ \d]{{6}}\d)(?P<meas>[ \d]{{10}}\d).*\s(?P<status>[A-Za-z]+)\s+(?P<size>\d+)\s+\d+"
    rf"\s+(?P<created>{_TIME})\s+(?P<closed>{_TIME})(?:\s.*)?"
)
_DEPENDENT = re.compile(r"dependent file|measID:")
_IDS = 18
"""FileID and MeasID together are so wide: there the names begin."""
_RETRO = 3_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnScanner:
    """One measurement on the scanner's store. Its times are the scanner's own, without a zone."""

    file_id: int
    meas_id: int
    protocol: str | None
    """None: it cannot be told from what stands beside it."""
    status: str
    """``cld``: closed; ``wip``: being acquired."""
    size: int
    created: str
    """In ISO 8601."""

    @staticmethod
    def is_retro_id(meas_id: int) -> bool:
        """Return whether such a number is of a reconstruction made later, which is no measurement of its own."""
        return meas_id >= _RETRO


def read_listing(data: bytes) -> tuple[list[OnScanner], int]:
    """Return what a listing has, and how many of its lines could not be read.

    Raises:
        BadInput: it has no heading as RaidTool writes it.
    """
    lines = iter(_text(data).splitlines())
    heading = next(filter(None, map(_HEADING.fullmatch, lines)), None)
    if heading is None:
        raise BadInput("This is no listing of RaidTool: no line has its columns' names (FileID, MeasID, ProtName …).")
    found, unread = [], 0
    for line in lines:
        row = _row(line, heading)
        if row is not None:
            found.append(row)
        elif line.strip() and not _DEPENDENT.search(line):
            unread += 1
    return found, unread


def _text(data: bytes) -> str:
    """Return the text, one character a column: consoles write one byte, and PowerShell makes two of each."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _row(line: str, heading: re.Match[str]) -> OnScanner | None:
    row = _ROW.fullmatch(line)
    if row is None:
        return None
    try:
        created = datetime.strptime(row["created"], "%d.%m.%Y %H:%M:%S")  # noqa: DTZ007 -- of the scanner's clock alone
    except ValueError:
        return None
    return OnScanner(
        file_id=int(row["file"]),
        meas_id=int(row["meas"]),
        protocol=next(_protocols(line, row, heading), None),
        status=row["status"],
        size=int(row["size"]),
        created=created.isoformat(),
    )


def _protocols(line: str, row: re.Match[str], heading: re.Match[str]) -> Iterator[str]:
    """Yield the protocol's name where the columns stand as their names do."""
    if row.end("status") == heading.end("status"):
        yield line[_IDS : heading.end("protocol")].strip()
