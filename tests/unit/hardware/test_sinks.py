"""Every sink is found, builds from its default settings, and tells an alert raised and cleared."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from hardware import sinks
from hardware.records import Alert, Severity
from kspace.registry import plugins

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENTENCE = "The spool is nearly full."


def alert(severity=Severity.CRITICAL, *, cleared_at=None):
    return Alert(key="pool:spool", severity=severity, text=SENTENCE, raised_at=AT, cleared_at=cleared_at)


def log_sink():
    plugin = plugins(sinks)["log"]
    return plugin.build(plugin.settings())


@pytest.mark.parametrize("severity", Severity)
def test_a_raised_alert_is_logged_at_its_severity(severity):
    with capture_logs() as logs:
        log_sink().tell(alert(severity))
    assert logs == [{"event": "alert.raised", "key": "pool:spool", "severity": severity, "log_level": severity.value}]


def test_a_cleared_alert_is_information():
    with capture_logs() as logs:
        log_sink().tell(alert(cleared_at=AT))
    assert logs == [{"event": "alert.cleared", "key": "pool:spool", "severity": "critical", "log_level": "info"}]


def test_settings_of_the_log_sink_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError):
        plugins(sinks)["log"].settings(level="info")
