"""Where alerts are told: the Sink port; one module a kind of sink, each ending in its PLUGIN."""

from typing import Protocol

from hardware.records import Alert


class Sink(Protocol):
    """Tells people of an alert."""

    def tell(self, alert: Alert) -> None:
        """Tell it once: raised, or over where ``cleared_at`` is set.

        Raises:
            KspaceError: it could not be told; it will be told again.
        """
