"""The states of a capture and of a delivery, which may follow which, and the stage that leaves each. Tables only."""

from enum import StrEnum
from typing import Final


class CaptureState(StrEnum):
    """Where one raw file stands on its way."""

    FOUND = "found"
    SETTLED = "settled"
    SKIPPED = "skipped"
    PACKED = "packed"
    MATCHED = "matched"
    PLANNED = "planned"
    DELIVERED = "delivered"
    RETIRED = "retired"
    RECALLED = "recalled"
    """It was found to belong elsewhere after the spool was freed: it is fetched back from an archive."""
    RELEASED = "released"
    HELD = "held"


class DeliveryState(StrEnum):
    """Where one capture, or one DICOM study, stands on its way to one destination."""

    QUEUED = "queued"
    SENT = "sent"
    WAITING = "waiting"
    """DICOM: the archive has the session in its prearchive, for a person there."""
    OBSERVING = "observing"
    """DICOM that another path carries: the session is awaited in the archive."""
    VERIFIED = "verified"
    HELD = "held"
    WITHDRAWN = "withdrawn"
    """A person linked the capture elsewhere; what the archive holds of it stays there for its owner to remove."""


class Kind(StrEnum):
    """What a row on its way is; each kind has its table or its share of one, and its own stages."""

    CAPTURE = "capture"
    RAW = "raw"
    DICOM = "dicom"


State = CaptureState | DeliveryState
_C, _D = CaptureState, DeliveryState

TRANSITIONS: Final[dict[type, dict[State, frozenset[State]]]] = {
    _C: {
        _C.FOUND: frozenset({_C.FOUND, _C.SETTLED, _C.SKIPPED, _C.HELD}),
        _C.SETTLED: frozenset({_C.PACKED, _C.SKIPPED, _C.FOUND, _C.HELD}),
        _C.SKIPPED: frozenset({_C.FOUND}),
        _C.PACKED: frozenset({_C.MATCHED, _C.HELD}),
        _C.MATCHED: frozenset({_C.PLANNED, _C.RELEASED, _C.FOUND, _C.MATCHED, _C.HELD}),
        _C.PLANNED: frozenset({_C.FOUND, _C.DELIVERED, _C.MATCHED, _C.SKIPPED, _C.HELD}),
        _C.DELIVERED: frozenset({_C.RETIRED, _C.PLANNED, _C.MATCHED, _C.HELD}),
        _C.RETIRED: frozenset({_C.RECALLED, _C.SKIPPED}),
        _C.RECALLED: frozenset({_C.MATCHED, _C.PACKED, _C.HELD}),
        _C.RELEASED: frozenset(),
        _C.HELD: frozenset({_C.FOUND, _C.SETTLED, _C.PACKED, _C.MATCHED, _C.PLANNED, _C.DELIVERED, _C.RECALLED}),
    },
    _D: {
        _D.QUEUED: frozenset({_D.QUEUED, _D.SENT, _D.OBSERVING, _D.HELD, _D.WITHDRAWN}),
        _D.SENT: frozenset({_D.WAITING, _D.VERIFIED, _D.QUEUED, _D.HELD, _D.WITHDRAWN}),
        _D.WAITING: frozenset({_D.VERIFIED, _D.QUEUED, _D.HELD, _D.WITHDRAWN}),
        _D.OBSERVING: frozenset({_D.VERIFIED, _D.QUEUED, _D.HELD, _D.WITHDRAWN}),
        _D.VERIFIED: frozenset({_D.VERIFIED, _D.QUEUED, _D.HELD, _D.WITHDRAWN}),
        _D.HELD: frozenset({_D.QUEUED, _D.SENT, _D.WAITING, _D.OBSERVING, _D.VERIFIED, _D.WITHDRAWN}),
        _D.WITHDRAWN: frozenset({_D.QUEUED}),
    },
}
"""Per kind of state, since "held" is a word of both: ``TRANSITIONS[type(before)][before]``."""

STAGE_OF: Final[dict[tuple[Kind, State], str]] = {
    (Kind.CAPTURE, _C.FOUND): "settle",
    (Kind.CAPTURE, _C.SETTLED): "pack",
    (Kind.CAPTURE, _C.PACKED): "join",
    (Kind.CAPTURE, _C.MATCHED): "plan",
    (Kind.CAPTURE, _C.DELIVERED): "retire",
    (Kind.CAPTURE, _C.RECALLED): "fetch",
    (Kind.RAW, _D.QUEUED): "send",
    (Kind.RAW, _D.SENT): "verify",
    (Kind.RAW, _D.VERIFIED): "audit",
    (Kind.DICOM, _D.QUEUED): "forward",
    (Kind.DICOM, _D.SENT): "confirm",
    (Kind.DICOM, _D.WAITING): "confirm",
    (Kind.DICOM, _D.OBSERVING): "observe",
    (Kind.DICOM, _D.VERIFIED): "confirm",
}
"""A capture in PLANNED waits for its deliveries: the catalog moves it on in the commit of the last of them, and back
from DELIVERED if one of them turns out not to be held any more. A VERIFIED delivery is due when its turn comes to be
proved again (`transfer.feeds.recheck`; for images `transfer.feeds.sweep`)."""

LOST_CODES: Final[frozenset[str]] = frozenset({"lost", "spool_damaged"})
"""Why a delivery is held whose bytes the relay cannot send any more."""

KEEPING: Final[frozenset[str]] = frozenset({"pack", "send"})
"""The stages whose progress is not done again after a failure: chunks in the spool, parts in the archive."""
