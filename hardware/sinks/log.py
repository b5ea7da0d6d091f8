"""Alerts into the log: the sink that is always there."""

import logging
from collections.abc import Mapping

import structlog
from pydantic import BaseModel, ConfigDict

from hardware.records import Alert, Severity
from kspace.registry import Plugin

_LEVEL: Mapping[Severity, int] = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
}


class LogSettings(BaseModel):
    """The log sink has no settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LogSink:
    """Writes one event an alert: its key and severity; the sentence itself is for people, not for the log."""

    def __init__(self, settings: LogSettings) -> None:
        del settings
        self._log = structlog.get_logger()

    def tell(self, alert: Alert) -> None:
        """Write the alert: at its own severity when it is raised, as information when it is over."""
        if alert.cleared_at is not None:
            self._log.info("alert.cleared", key=alert.key, severity=alert.severity)
        else:
            self._log.log(_LEVEL[alert.severity], "alert.raised", key=alert.key, severity=alert.severity)


PLUGIN = Plugin("log", LogSettings, LogSink)
