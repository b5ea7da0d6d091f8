"""Which archives hold a capture, for restoring and verifying it again."""

from dataclasses import dataclass
from typing import Any

from kspace.errors import ConfigError
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.catalog.loading import load_delivery
from transfer.records import RawDelivery
from transfer.stages.send import folder_of
from transfer.states import DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """One archive's verified copy of a capture."""

    delivery: RawDelivery
    destination: str
    archive: Any
    place: str
    folder: str
    sha256: str


def verified(box: Box, capture_id: int) -> list[Custody]:
    """Return every verified copy of a capture.

    Raises:
        NotFound: there is no such capture.
        ConfigError: a copy lies at a destination that is not configured any more.
    """
    archives = box.archives()
    found = []
    with box.database.read() as connection:
        lists.story(connection, capture_id)
        for row in lists.deliveries(connection, capture_id=capture_id, kind="raw"):
            if row["state"] != DeliveryState.VERIFIED:
                continue
            delivery = load_delivery(connection, row["id"])
            if not isinstance(delivery, RawDelivery):
                continue
            if delivery.destination not in archives:
                raise ConfigError(f"A copy lies at {delivery.destination}, which the configuration does not name.")
            found.append(
                Custody(
                    delivery=delivery,
                    destination=delivery.destination,
                    archive=archives[delivery.destination],
                    place=delivery.place or "",
                    folder=folder_of(delivery),
                    sha256=delivery.capture.sha256 or "",
                )
            )
    return found
