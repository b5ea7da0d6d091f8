"""The log sink writes keys and no sentences; settings that cannot be meant are refused, and no secret is in them."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError
from structlog.testing import capture_logs

from hardware import sinks
from hardware.records import Alert, Severity
from hardware.sinks import Message, Picture
from kspace.registry import plugins

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAIL = {"name": "m", "host": "mail.example", "sender": "relay@example.org", "to": ["it@example.org"]}


def message(kind="alert", severity=Severity.CRITICAL, **more):
    alert = Alert(key="pool:spool", severity=severity, text="The spool is nearly full.", raised_at=AT)
    given = {"id": "1.a", "kind": kind, "topic": "pool:spool", "severity": severity, "relay": "r", "site": "", "at": AT}
    return Message(**given, subject="s", text="t", alerts=(alert,), count=1, **more)


def log_sink():
    plugin = plugins(sinks)["log"]
    return plugin.build(plugin.settings())


@pytest.mark.parametrize("severity", Severity)
def test_an_alert_is_logged_at_its_severity(severity):
    with capture_logs() as logs:
        log_sink().tell(message(severity=severity))
    (event,) = logs
    assert (event["event"], event["log_level"], event["keys"]) == ("alert.raised", severity.value, ["pool:spool"])
    assert "nearly full" not in str(event)


def test_what_is_over_is_information():
    with capture_logs() as logs:
        log_sink().tell(message("over"))
    assert [e["log_level"] for e in logs] == ["info"]


def test_a_message_is_the_same_after_it_was_stored():
    one, adapter = message(picture=Picture(png=bytes(range(256)), alt="all bytes")), TypeAdapter(Message)
    assert adapter.validate_json(adapter.dump_json(one)) == one


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("log", {"level": "info"}, "Extra inputs"),
        ("log", {"quiet": ["22-06"]}, "no time of the week"),
        ("log", {"report_at": "24:00"}, "pattern"),
        ("mail", {**MAIL, "user": "u"}, "or neither"),
        ("mail", {**MAIL, "user": "u", "password": {"env": "P"}, "security": "plain"}, "never sent without TLS"),
        ("mail", {**MAIL, "password": "secret"}, "dict"),
        ("mail", {**MAIL, "to": []}, "at least 1"),
        ("mail", {**MAIL, "to": ["it"]}, "no mail address"),
        ("mail", {**MAIL, "sender": "a@b\r\nBcc: c@d"}, "no mail address"),
        ("webhook", {"name": "w", "url": "http://example.org/x"}, "https"),
        ("webhook", {"name": "w", "url": "https://u:p@example.org/x"}, "no password"),
        ("syslog", {"name": "s", "transport": "udp"}, "have a host"),
        ("syslog", {"name": "s", "host": "h"}, "have a host"),
        ("syslog", {"name": "s", "facility": "kern"}, "pattern"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(kind, given, said):
    with pytest.raises(ValidationError, match=said):
        plugins(sinks)[kind].settings(**given)
