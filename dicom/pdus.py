"""The PDUs of the DICOM Upper Layer (PS3.8 9.3) that do not negotiate: their frame, data and signals. Pure."""

import struct
from collections.abc import Iterator
from enum import IntEnum

from kspace.errors import BadInput


class PduType(IntEnum):
    """PS3.8 9.3.1."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class BrokenProtocol(BadInput):
    """The peer does not keep to the protocol: the association is aborted."""

    code = "broken_protocol"


def signal(kind: PduType, *, result: int = 0, source: int = 0, reason: int = 0) -> bytes:
    """Return one of the PDUs that hold four bytes: reject, release and abort (PS3.8 9.3.4, 9.3.6 to 9.3.8)."""
    return pdu(kind, bytes([0, result, source, reason]))


def data_pdus(context_id: int, content: bytes, *, is_command: bool, max_pdu_bytes: int) -> Iterator[bytes]:
    """Yield the P-DATA-TF PDUs of a command or a data set, none larger than the peer takes (PS3.8 Annex E.2)."""
    step = max(max_pdu_bytes - 6, 2) if max_pdu_bytes else max(len(content), 1)
    for begin in range(0, max(len(content), 1), step):
        piece = content[begin : begin + step]
        control = is_command | (begin + step >= len(content)) << 1
        yield pdu(PduType.DATA, struct.pack(">LBB", len(piece) + 2, context_id, control) + piece)


def pdu(kind: PduType, content: bytes) -> bytes:
    """Return a whole PDU."""
    return struct.pack(">BxL", kind, len(content)) + content
