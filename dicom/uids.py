"""What Siemens writes into its UIDs: ``1.3.12.2.1107.5.<kind>.<model>.<serial>.<rest>``."""

import re
from collections.abc import Iterable

_ROOT = r"1\.3\.12\.2\.1107\.5\.\d+\.\d+\.(\d+)\."
_SERIAL = re.compile(_ROOT)
_REGISTRATION = re.compile(_ROOT + r"\d+\.(\d{17})(?:\.\d+)*")


def serial_in(uids: Iterable[str | None]) -> str | None:
    """Return the serial number in the first UID that holds one."""
    found = (_SERIAL.match(uid) for uid in uids if uid)
    return next((match[1] for match in found if match), None)


def registration_of(frame_of_reference: str | None) -> tuple[str, str] | None:
    """Return serial and 17-digit stamp (yyyymmddhhmmssmmm) of a frame of reference, None where it holds none.

    One study's images carry both ``<serial>.1.<stamp>`` and ``<serial>.2.<stamp>`` on XA, raw data only the first,
    so the number between them means nothing here.
    """
    match = _REGISTRATION.fullmatch(frame_of_reference or "")
    return (match[1], match[2]) if match else None
