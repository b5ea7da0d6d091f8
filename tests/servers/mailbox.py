"""A mail server (aiosmtpd) that keeps what it took; it can refuse, and stall between taking a mail and saying so."""

import asyncio
import email
import email.policy
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


@dataclass
class Mailbox:
    """What the server took, and how it behaves."""

    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    refused: frozenset[str] = frozenset()
    stalls: bool = False
    took: threading.Event = field(default_factory=threading.Event)

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 -- aiosmtpd's name
        if address in self.refused:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 -- aiosmtpd's name
        self.raw.append(envelope.content)
        unix = envelope.content.replace(b"\r\n", b"\n")
        self.mails.append(email.message_from_bytes(unix, policy=email.policy.default))
        self.took.set()
        if self.stalls:
            await asyncio.sleep(3600)
        return f"250 2.0.0 queued as {len(self.mails)}"


def serve(box: Mailbox, port: int, *, tls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None):
    """Return a running server; with ``tls`` it demands STARTTLS and the password of the user relay."""

    def sign_in(_server, _session, _envelope, _mechanism, data):
        is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"relay", b"correct horse")
        return AuthResult(success=is_right, handled=False)

    safe = (
        {"tls_context": tls, "require_starttls": True, "auth_required": True, "authenticator": sign_in} if tls else {}
    )
    controller = Controller(box, hostname="127.0.0.1", port=port, ssl_context=implicit, **safe)
    controller.start()
    return controller
