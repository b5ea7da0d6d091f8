"""Alerts into the log: the sink that is always there."""

import structlog
from pydantic import BaseModel, ConfigDict

from hardware.records import Alert
from kspace.registry import Plugin


class LogSettings(BaseModel):
    """The log sink has no settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LogSink:
    """Writes one event an alert."""

    def __init__(self, settings: LogSettings) -> None:
        del settings
        self._log = structlog.get_logger()

    def tell(self, alert: Alert) -> None:
        """Write the alert."""
        verb = "alert.cleared" if alert.cleared_at else "alert.raised"
        self._log.warning(verb, key=alert.key, severity=alert.severity, text=alert.text)


PLUGIN = Plugin("log", LogSettings, LogSink)
