"""Which archives hold a capture, for restoring it and for proving it again."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kspace.errors import ConfigError, KspaceError, NotFound
from transfer.catalog import lists
from transfer.catalog.loading import load_delivery
from transfer.catalog.store import LEASE_S, Claim, Store
from transfer.records import Done, Outcome, RawDelivery, StillHeld
from transfer.stages.send import folder_of
from transfer.states import DeliveryState

if TYPE_CHECKING:
    from transfer.app.wiring import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """One archive's verified copy of a capture."""

    delivery: RawDelivery
    destination: str
    archive: Any
    place: str
    folder: str
    sha256: str


def verified(box: "Box", capture_id: int) -> list[Custody]:
    """Return every verified copy of a capture.

    Raises:
        NotFound: there is no such capture.
        ConfigError: a copy lies at a destination that is not configured any more.
    """
    found = [copy for copy in _copies(box, capture_id) if copy.delivery.state is DeliveryState.VERIFIED]
    _demand_configured(found)
    return found


def _copies(box: "Box", capture_id: int) -> list[Custody]:
    """Return what was proved at some time and was not withdrawn, also where a part of it was lost since."""
    archives = box.archives()
    found = []
    with box.database.read() as connection:
        lists.story(connection, capture_id)
        for row in lists.deliveries(connection, capture_id=capture_id, kind="raw"):
            delivery = load_delivery(connection, row["id"])
            if not isinstance(delivery, RawDelivery) or row["verified_at"] is None or delivery.place is None:
                continue
            found.append(
                Custody(
                    delivery=delivery,
                    destination=delivery.destination,
                    archive=archives.get(delivery.destination),
                    place=delivery.place,
                    folder=folder_of(delivery),
                    sha256=delivery.capture.sha256 or "",
                )
            )
    return found


def held(box: "Box", capture_id: int, *, source: str | None) -> list[Custody]:
    """Return every copy of a capture, at one destination or at all: those that were proved and stand, then the rest.

    A copy of which the archive lost something may be all there is, and much of it may be whole.

    Raises:
        NotFound: there is none.
        ConfigError: a copy lies at a destination that is not configured any more, and no other does.
    """
    found = [copy for copy in _copies(box, capture_id) if source in {None, copy.destination}]
    if not found:
        at = f" at {source}" if source else ""
        raise NotFound(f"No verified copy of this capture lies{at or ' in any archive yet'}; see `kspace show`.")
    known = [copy for copy in found if copy.archive is not None]
    if not known:
        _demand_configured(found)
    return sorted(known, key=lambda copy: copy.delivery.state is not DeliveryState.VERIFIED)


def _demand_configured(copies: Iterable[Custody]) -> None:
    for copy in copies:
        if copy.archive is None:
            raise ConfigError(f"A copy lies at {copy.destination}, which the configuration does not name.")


def oldest(box: "Box", number: int) -> list[int]:
    """Return the captures whose proof in some archive is the oldest, the oldest first."""
    with box.database.read() as connection:
        rows = lists.deliveries(connection, kind="raw")
    proved = sorted(
        (r for r in rows if r["state"] == DeliveryState.VERIFIED), key=lambda r: (r["verified_at"], r["id"])
    )
    return list(dict.fromkeys(row["capture_id"] for row in proved))[:number]


def prove_again(box: "Box", delivery_id: int) -> Outcome | None:
    """Run the audit of a verified delivery now, as the engine would; None: its lane is taken, or it is paused.

    What it finds is committed: a delivery that is not held any more is sent again by the engine.

    Raises:
        DestinationError: the archive could not be asked.
    """
    store = box.store()
    claim = store.claim("delivery", row_id=delivery_id)
    if claim is None:
        return None
    with _kept(store, claim):
        try:
            outcome = box.stages({})[claim.stage](claim.record, lambda: None)
        except KspaceError as error:
            store.fail(claim, error)
            raise
        store.commit(claim, outcome)
    return outcome


def is_still_held(box: "Box", delivery_id: int) -> bool:
    """Return whether the archive proves a verified delivery now; False also where it cannot be asked."""
    try:
        outcome = prove_again(box, delivery_id)
    except KspaceError:
        return False
    return isinstance(outcome, Done) and isinstance(outcome.result, StillHeld)


@contextmanager
def _kept(store: Store, claim: Claim) -> Iterator[None]:
    """Keep the lease for as long as the work takes: a large capture is read back for longer than one lease lasts."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(LEASE_S / 4):
            store.renew(claim)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
