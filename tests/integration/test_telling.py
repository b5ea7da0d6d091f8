"""Each sink against the real other side: mail, HTTP and syslog servers; and what each says where it is not taken."""

import hashlib
import hmac
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hardware import sinks
from hardware.records import Alert, Severity
from hardware.sinks import Message, NotTold, Picture
from kspace.preview import png
from kspace.registry import plugins
from tests.campaign.trust import Authority
from tests.integration.relay import free_port, wait_until
from tests.servers import mailbox
from tests.servers.receiver import Receiver

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALERT = Alert(key="pool:spool", severity=Severity.CRITICAL, text="Full <to> & ü.", raised_at=AT)
MESSAGE = Message(
    id="7.abc", kind="alert", topic="pool:spool", severity=Severity.CRITICAL, relay="box", site="north", at=AT,
    subject="[box] critical: Full.", text="CRITICAL pool:spool\n  Full <to> & ü.\n", alerts=(ALERT,), count=1,
)  # fmt: skip


def sink(kind, **given):
    plugin = plugins(sinks)[kind]
    return plugin.build(plugin.settings(name=kind, **given))


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "localhost")


@contextmanager
def mail_server(**how) -> Iterator[tuple[mailbox.Mailbox, int]]:
    box, port = mailbox.Mailbox(), free_port()
    running = mailbox.serve(box, port, **how)
    try:
        yield box, port
    finally:
        running.stop()


def mail(tmp_path: Path, port: int, *, said="correct horse", **more):
    (tmp_path / "password").write_text(said + "\n")
    signed = {"user": "relay", "password": {"file": tmp_path / "password"}, "ca_file": str(tmp_path / "ca.pem")}
    given = {"host": "localhost", "port": port, "sender": "relay@example.org", "to": ["it@example.org"]}
    return sink("mail", **(given | signed | more))


def test_mail_by_starttls_with_a_password_and_a_private_authority(tmp_path, authority):
    with mail_server(tls=authority.server()) as (box, port):
        told = mail(tmp_path, port).tell(MESSAGE)
        assert told.answer == "localhost took it for 1 of 1: 250 2.0.0 queued as 1"
        with pytest.raises(NotTold, match=r"refused the user or the password \(status 535\)"):
            mail(tmp_path, port, said="wrong").tell(MESSAGE)
        with pytest.raises(NotTold, match="is not trusted"):
            mail(tmp_path, port, ca_file=None).tell(MESSAGE)
        with pytest.raises(NotTold, match=r"refused the mail \(status 530\)"):
            mail(tmp_path, port, user=None, password=None).tell(MESSAGE)
    (got,) = box.mails
    assert got["Message-ID"] == "<7.abc@example.org>"
    assert got["Subject"] == MESSAGE.subject
    assert got["Importance"] == "high"
    assert got["Auto-Submitted"] == "auto-generated"
    assert got.get_content() == MESSAGE.text


def test_mail_by_tls_and_by_a_plain_relay(tmp_path, authority):
    none = {"user": None, "password": None}
    with mail_server(implicit=authority.server()) as (box, port):
        mail(tmp_path, port, security="tls", **none).tell(MESSAGE)
    with mail_server() as (plain, port):
        mail(tmp_path, port, security="plain", **none).tell(MESSAGE)
        with pytest.raises(NotTold, match="offers no STARTTLS; nothing was sent"):
            mail(tmp_path, port).tell(MESSAGE)
    assert len(box.mails) == len(plain.mails) == 1


def test_a_refused_recipient_is_said_though_the_other_has_it(tmp_path):
    with mail_server() as (box, port):
        box.refused = frozenset({"gone@example.org"})
        plain = {"security": "plain", "user": None, "password": None}
        told = mail(tmp_path, port, to=["gone@example.org", "it@example.org"], **plain).tell(MESSAGE)
        assert told.problem == "localhost refused gone@example.org (status 550)"
        with pytest.raises(NotTold, match=r"refused every recipient \(status 550\)"):
            mail(tmp_path, port, to=["gone@example.org"], **plain).tell(MESSAGE)
    with pytest.raises(NotTold, match="does not answer as a mail server"):
        mail(tmp_path, port, **plain).tell(MESSAGE)
    assert len(box.mails) == 1


def test_a_picture_lies_beside_a_text_that_is_whole_without_it(tmp_path):
    drawn = png.encode(np.zeros((2, 3, 3), np.uint8))
    message = replace(MESSAGE, picture=Picture(png=drawn, alt='"3" days'))
    with mail_server() as (box, port):
        mail(tmp_path, port, security="plain", user=None, password=None).tell(message)
    (got,) = box.mails
    assert got.get_body(("plain",)).get_content() == MESSAGE.text
    page = got.get_body(("related", "html"))
    html = page.get_body(("html",)).get_content()
    (image,) = [part for part in got.walk() if part.get_content_type() == "image/png"]
    assert image.get_content() == drawn
    assert f'src="cid:{image["Content-ID"].strip("<>")}"' in html
    assert 'alt="&quot;3&quot; days"' in html
    assert "Full &lt;to&gt; &amp; ü." in html


def test_a_webhook_is_signed_over_time_and_body(tmp_path, authority):
    (tmp_path / "key").write_text("shared key\n")
    with Receiver(authority.server()) as receiver:
        url = f"https://localhost:{receiver.server_port}/hook"
        safe = {"secret": {"file": tmp_path / "key"}, "ca_file": str(tmp_path / "ca.pem")}
        sink("webhook", url=url, **safe).tell(MESSAGE)
        with pytest.raises(NotTold, match="does not answer"):
            sink("webhook", url=url).tell(MESSAGE)
    ((headers, body),) = receiver.got
    signed = headers["X-Kspace-Timestamp"].encode() + b"." + body
    assert headers["X-Kspace-Signature"] == f"sha256={hmac.new(b'shared key', signed, hashlib.sha256).hexdigest()}"
    assert headers["Idempotency-Key"] == MESSAGE.id
    document = json.loads(body)
    assert (document["topic"], document["open"], document["alerts"][0]["key"]) == ("pool:spool", 1, "pool:spool")


def test_slack_and_teams_get_their_own_text_and_no_address_is_shown(tmp_path):
    with Receiver() as receiver:
        (tmp_path / "url").write_text(f"http://127.0.0.1:{receiver.server_port}/TOKEN4711")
        given = {"url": {"file": tmp_path / "url"}}
        sink("webhook", style="slack", **given).tell(MESSAGE)
        sink("webhook", style="teams", **given).tell(MESSAGE)
        receiver.status = 302
        with pytest.raises(NotTold, match="status 302"):
            sink("webhook", **given).tell(MESSAGE)
    with pytest.raises(NotTold) as caught:
        sink("webhook", **given).tell(MESSAGE)
    assert "TOKEN4711" not in str(caught.value)
    slack, teams, _ = (json.loads(body) for _, body in receiver.got)
    assert slack == {"text": "*[box] critical: Full.*\nCRITICAL pool:spool\n  Full &lt;to&gt; &amp; ü.\n"}
    card = teams["attachments"][0]["content"]
    assert [b["text"] for b in card["body"]] == [MESSAGE.subject, *MESSAGE.text.splitlines()]


def _is_line(line: bytes) -> None:
    head, _, text = line.partition(b"\xef\xbb\xbf")
    priority, at, host, app, _, kind, data = head.split(b" ")[:7]
    assert (priority, at, host) == (b"<26>1", b"2026-03-01T12:00:00.000+00:00", b"box")  # daemon (3) * 8 + critical (2)
    assert (app, kind, data) == (b"kspace", b"alert", b"-")
    assert text.decode() == "pool:spool critical, 1 open, id 7.abc: Full <to> & ü."


def test_syslog_by_udp_and_by_a_local_socket(tmp_path):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "log"))
        told = sink("syslog", transport="udp", host="127.0.0.1", port=udp.getsockname()[1]).tell(MESSAGE)
        assert "does not say whether it came" in told.answer
        _is_line(udp.recv(4096))
        sink("syslog", socket=tmp_path / "log").tell(MESSAGE)
        _is_line(unix.recv(4096))
    with pytest.raises(NotTold, match="does not answer"):
        sink("syslog", socket=tmp_path / "nowhere").tell(MESSAGE)


@pytest.mark.parametrize("is_safe", [False, True])
def test_syslog_by_tcp_and_tls_counts_octets_and_knows_that_it_was_read(tmp_path, authority, is_safe):
    got = []

    class Read(socketserver.StreamRequestHandler):
        def handle(self):
            got.append(self.rfile.read())

    class Server(socketserver.ThreadingTCPServer):
        def get_request(self):
            plain, address = super().get_request()
            return (authority.server().wrap_socket(plain, server_side=True) if is_safe else plain), address

    with Server(("127.0.0.1", 0), Read) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        way = {"transport": "tls", "ca_file": str(tmp_path / "ca.pem")} if is_safe else {"transport": "tcp"}
        there = sink("syslog", host="localhost", port=server.server_address[1], **way)
        assert there.tell(MESSAGE).answer == "localhost read it to its end"
        server.shutdown()
    wait_until(lambda: got, within_s=5)
    count, _, line = got[0].partition(b" ")
    assert int(count) == len(line)
    _is_line(line)
    with pytest.raises(NotTold, match="does not answer"):
        there.tell(MESSAGE)
