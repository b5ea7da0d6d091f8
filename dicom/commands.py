"""DIMSE command sets (PS3.7 6.3, Annex E): group 0000 in implicit VR little endian. Pure."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from dicom.pdus import BrokenProtocol

_CLASS, _REQUESTED_CLASS, _FIELD = 0x0002, 0x0003, 0x0100
_ID, _ANSWERED_ID, _DATA_SET = 0x0110, 0x0120, 0x0800
_STATUS, _COMMENT = 0x0900, 0x0902
_INSTANCE, _REQUESTED_INSTANCE, _EVENT, _ACTION = 0x1000, 0x1001, 0x1002, 0x1008
_NOT_OF_UIDS = bytes(set(range(256)) - set(b"0123456789."))
_NO_DATA_SET, _HAS_DATA_SET = 0x0101, 0x0001
RESPONSE = 0x8000
"""The bit that makes a response of a command."""


class Field(IntEnum):
    """The commands the relay knows (PS3.7 E.1); a response has the highest bit set."""

    STORE = 0x0001
    ECHO = 0x0030
    EVENT_REPORT = 0x0100
    ACTION = 0x0130
    CANCEL = 0x0FFF


@dataclass(frozen=True, slots=True)
class Command:
    """A received command set, by element number."""

    elements: Mapping[int, bytes]

    @classmethod
    def parse(cls, content: bytes) -> "Command":
        """Read a command set.

        Raises:
            BrokenProtocol: a length is impossible, or an element is of another group.
        """
        found, offset = {}, 0
        while offset < len(content):
            if len(content) - offset < 8:
                raise BrokenProtocol("A command ends in the middle of an element.")
            group, element, length = struct.unpack_from("<HHL", content, offset)
            offset += 8 + length
            if group or offset > len(content):
                raise BrokenProtocol("A command holds what it may not, or less than it says.")
            found[element] = content[offset - length : offset]
        return cls(found)

    @property
    def field(self) -> int:
        """Return which command it is."""
        return self._number(_FIELD)

    @property
    def is_response(self) -> bool:
        """Return whether it answers a command of ours."""
        return bool(self.field & RESPONSE)

    @property
    def has_data_set(self) -> bool:
        """Return whether a data set follows."""
        return self._number(_DATA_SET, _NO_DATA_SET) != _NO_DATA_SET

    @property
    def sop_class(self) -> str:
        """Return the affected or requested SOP class."""
        return self._uid(_CLASS) or self._uid(_REQUESTED_CLASS)

    @property
    def sop_uid(self) -> str:
        """Return the affected or requested SOP instance."""
        return self._uid(_INSTANCE) or self._uid(_REQUESTED_INSTANCE)

    @property
    def action(self) -> int:
        """Return the action type of an N-ACTION."""
        return self._number(_ACTION, 0)

    @property
    def status(self) -> int:
        """Return the status of a response."""
        return self._number(_STATUS)

    def answer(self, status: int, comment: str = "") -> bytes:
        """Return the response: PS3.7 9.3 and 10.3. A comment has at most 64 characters."""
        said = {
            _CLASS: _padded(self.sop_class),
            _FIELD: _short(self.field | RESPONSE),
            _ANSWERED_ID: _short(self._number(_ID)),
            _DATA_SET: _short(_NO_DATA_SET),
            _STATUS: _short(status),
            _COMMENT: _padded(comment[:64], b" "),
            _INSTANCE: _padded(self.sop_uid),
            _ACTION: self.elements.get(_ACTION, b""),
        }
        return _encoded(said)

    def _number(self, element: int, default: int | None = None) -> int:
        value = self.elements.get(element)
        if value is None and default is not None:
            return default
        if value is None or len(value) != 2:
            raise BrokenProtocol("A command lacks a number that it must have.")
        return int.from_bytes(value, "little")

    def _uid(self, element: int) -> str:
        return self.elements.get(element, b"")[:64].translate(None, _NOT_OF_UIDS).decode("ascii")


def event_report(*, sop_class: str, sop_uid: str, event_type: int, message_id: int) -> bytes:
    """Return an N-EVENT-REPORT request with a data set (PS3.7 10.3.1)."""
    said = {
        _CLASS: _padded(sop_class),
        _FIELD: _short(Field.EVENT_REPORT),
        _ID: _short(message_id),
        _DATA_SET: _short(_HAS_DATA_SET),
        _INSTANCE: _padded(sop_uid),
        _EVENT: _short(event_type),
    }
    return _encoded(said)


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def _padded(text: str, pad: bytes = b"\0") -> bytes:
    value = text.encode("ascii", errors="replace")
    return value + pad * (len(value) % 2)


def _encoded(elements: Mapping[int, bytes]) -> bytes:
    content = b"".join(struct.pack("<HHL", 0, key, len(v)) + v for key, v in sorted(elements.items()) if v)
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content
