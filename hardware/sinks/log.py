"""Messages into the log: the sink that is always there."""

import logging
from collections.abc import Mapping
from typing import Literal

import structlog

from hardware.records import Severity
from hardware.sinks import Message, SinkSettings, Told
from kspace.registry import Plugin

_LEVEL: Mapping[Severity, int] = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
}


class LogSettings(SinkSettings):
    """The log needs no settings, and has no reason to wait."""

    kind: Literal["log"] = "log"
    name: str = "log"
    gather_s: float = 0.0
    apart_s: float = 0.0


class LogSink:
    """Writes one event a message: topic, severity and keys; the sentences are for people, not for the log."""

    def __init__(self, settings: LogSettings) -> None:
        del settings
        self._log = structlog.get_logger()

    def answers(self) -> None:
        """Return nothing: only a message shows whether it takes one."""

    def tell(self, message: Message) -> Told:
        """Write it at its own severity, or as information when it is over."""
        level = logging.INFO if message.kind == "over" else _LEVEL[message.severity]
        self._log.log(
            level,
            "alert.raised" if message.kind == "alert" else f"alert.{message.kind}",
            id=message.id,
            topic=message.topic,
            severity=message.severity,
            open=message.count,
            keys=[a.key for a in message.alerts],
        )
        return Told(answer="written to the log")


PLUGIN = Plugin("log", LogSettings, LogSink)
