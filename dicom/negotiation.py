"""Negotiating an association (PS3.8 9.3.2 and 9.3.3, Annex D of PS3.7): request in, acceptance out. Pure."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dicom.pdus import BrokenProtocol, PduType, pdu

_CONTEXT = "1.2.840.10008.3.1.1.1"
"""DICOM's application context (PS3.7 A.2.1)."""
_IMPLEMENTATION_UID = "2.25.178283091672214580270932171529310411297"
_IMPLEMENTATION_NAME = "KSPACE_RELAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One presentation context that a requestor proposes: a class, and the transfer syntaxes it can send it in."""

    context_id: int
    abstract: str
    transfers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2). ``max_pdu_bytes`` is what the requestor takes, 0: anything."""

    called_ae: str
    calling_ae: str
    is_understood: bool
    """Whether protocol version and application context are the ones there are."""
    proposals: tuple[Proposal, ...]
    max_pdu_bytes: int
    roles: Mapping[str, bool]
    """Whether the requestor wants to be the user of a class, where it said so (PS3.7 D.3.3.4)."""


def parse_request(body: bytes) -> AssociateRequest:
    """Read an A-ASSOCIATE-RQ without its first six bytes.

    Raises:
        BrokenProtocol: a length or a value is impossible.
    """
    try:
        version, called, calling = struct.unpack_from(">H2x16s16s32x", body)
        items = list(_items(body, 68))
        proposals = tuple(_proposal(item) for kind, item in items if kind == 0x20)
        user = [pair for kind, item in items if kind == 0x50 for pair in _items(item, 0)]
        limits = [struct.unpack(">L", item)[0] for kind, item in user if kind == 0x51]
        return AssociateRequest(
            called_ae=_title(called),
            calling_ae=_title(calling),
            is_understood=bool(version & 1) and (0x10, _CONTEXT.encode()) in [(k, i.rstrip(b"\0")) for k, i in items],
            proposals=proposals,
            max_pdu_bytes=limits[0] if limits else 0,
            roles=dict(_role(item) for kind, item in user if kind == 0x54),
        )
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise BrokenProtocol("The request for an association cannot be read.") from error


def associate_ac(request: AssociateRequest, answers: Mapping[int, str | int], *, max_pdu_bytes: int) -> bytes:
    """Return the A-ASSOCIATE-AC; ``answers`` has a transfer syntax or a refusal (Table 9-18) for each context's id."""
    contexts = b"".join(_context(p, answers[p.context_id]) for p in request.proposals)
    accepted = {p.abstract for p in request.proposals if isinstance(answers[p.context_id], str)}
    roles = b"".join(
        _item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes([is_user, 0]))
        for uid, is_user in request.roles.items()
        if uid in accepted
    )
    user = _item(0x51, struct.pack(">L", max_pdu_bytes)) + _item(0x52, _IMPLEMENTATION_UID.encode()) + roles
    user += _item(0x55, _IMPLEMENTATION_NAME.encode())
    titles = (f"{title:<16}".encode("ascii") for title in (request.called_ae, request.calling_ae))
    head = struct.pack(">H2x16s16s32x", 1, *titles)
    return pdu(PduType.ASSOCIATE_AC, head + _item(0x10, _CONTEXT.encode()) + contexts + _item(0x50, user))


def _items(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset < len(body):
        kind, length = struct.unpack_from(">BxH", body, offset)
        offset += 4 + length
        if offset > len(body):
            raise BrokenProtocol("An item is longer than what holds it.")
        yield kind, body[offset - length : offset]


def _proposal(item: bytes) -> Proposal:
    names = list(_items(item, 4))
    return Proposal(
        context_id=item[0],
        abstract=next((_uid(name) for kind, name in names if kind == 0x30), ""),
        transfers=tuple(_uid(name) for kind, name in names if kind == 0x40),
    )


def _role(item: bytes) -> tuple[str, bool]:
    (length,) = struct.unpack_from(">H", item)
    return _uid(item[2 : 2 + length]), bool(item[2 + length])


def _title(title: bytes) -> str:
    text = title.decode("ascii").strip(" \0")
    if not text.isprintable():
        raise BrokenProtocol("An AE title holds what none may hold (PS3.5 6.2).")
    return text


def _uid(name: bytes) -> str:
    return name.decode("ascii").strip(" \0")


def _context(proposal: Proposal, answer: str | int) -> bytes:
    is_taken = isinstance(answer, str)
    syntax = answer if isinstance(answer, str) else next(iter(proposal.transfers), "")
    head = bytes([proposal.context_id, 0, 0 if is_taken else int(answer), 0])
    return _item(0x21, head + _item(0x40, syntax.encode()))


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content
