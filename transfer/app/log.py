"""Logs: structlog events with ids only. Keys that could carry a patient's data are refused before they are written."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

_REFUSED = frozenset({"patient", "patient_id", "patient_name", "birth_date", "path", "file_name", "subject_label"})


def set_up_logs(style: Literal["text", "json"], *, is_quiet: bool = False) -> None:
    """Send every event to standard error, as text for people or JSON lines for programs."""
    render: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_patients,
            structlog.processors.format_exc_info if style == "json" else _as_it_is,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL if is_quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _without_patients(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _REFUSED & event.keys():
        event[key] = "(not logged)"
    return event


def _as_it_is(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event
