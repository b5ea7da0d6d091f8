"""Logs: structlog events with ids only. Keys that could carry a patient's data are refused before they are written."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Literal

import structlog

_REFUSED = ("patient", "birth", "path", "filename", "subjectlabel", "sessionlabel", "comment")
"""Parts of keys, in small letters and without underscores, so that PatientID is found as well as patient_id."""


def set_up_logs(style: Literal["text", "json"], *, is_quiet: bool = False) -> None:
    """Send every event to standard error, as text for people or JSON lines for programs."""
    render: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_patients,
            _where,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL if is_quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _without_patients(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        plain = key.lower().replace("_", "")
        if any(part in plain for part in _REFUSED):
            event[key] = "(not logged)"
    return event


def _where(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say where an error happened, without its text or any value: either might name somebody."""
    if event.pop("exc_info", None):
        frames = traceback.extract_tb(sys.exc_info()[2])
        event["where"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    return event
