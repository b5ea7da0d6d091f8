"""Messages by mail: SMTP (RFC 5321) with STARTTLS or TLS and authentication, or a plain relay."""

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from hashlib import sha256
from html import escape
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from hardware.records import Severity
from hardware.sinks import Message, NotTold, SinkSettings, Told
from kspace.outward import Trusting, trust
from kspace.registry import Plugin
from kspace.secret import Secret

_SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""Any server takes it so (RFC 5321, section 2.4)."""
_PORTS = {"starttls": 587, "tls": 465, "plain": 25}


def _is_address(text: str) -> str:
    try:
        Address(addr_spec=text).addr_spec.encode("ascii")
    except (ValueError, IndexError) as error:
        raise ValueError(f"{text!r} is no mail address; write it like it@hospital.example") from error
    if not text.partition("@")[2]:
        raise ValueError(f"{text!r} is no mail address; write it like it@hospital.example")
    return text


_Address = Annotated[str, AfterValidator(_is_address)]


class MailSettings(SinkSettings, Trusting):
    """A mail server, and who is written to."""

    what: ClassVar[str] = "Sink"

    kind: Literal["mail"] = "mail"
    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65_535)
    """None: 587, of TLS 465, of plain 25."""
    security: Literal["starttls", "tls", "plain"] = "starttls"
    user: str | None = None
    password: Secret | None = None
    sender: _Address
    to: tuple[_Address, ...] = Field(min_length=1)
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    @property
    def called(self) -> int:
        """Return the port that is called."""
        return self.port or _PORTS[self.security]

    @model_validator(mode="after")
    def _fits_together(self) -> "MailSettings":
        if (self.user is None) != (self.password is None):
            raise ValueError("a mail server wants a user and a password, or neither")
        if self.user is not None and self.security == "plain":
            raise ValueError('a password is never sent without TLS: security is "starttls" or "tls" where there is one')
        return self


class MailSink:
    """Writes one mail a message; all of a topic make one thread in a reader."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def answers(self) -> str:
        """Sign in and go, as for a mail: the server is not asked for a recipient."""
        settings = self._settings
        with self._session() as server:
            server.ehlo_or_helo_if_needed()
        signed_in = f"and {settings.user} may sign in" if settings.user else "without a password"
        return f"{settings.host}:{settings.called} answers ({settings.security}) {signed_in}"

    def tell(self, message: Message) -> Told:
        """Hand the mail to the server. Its answer to the data is what counts: from then on the mail is its own.

        A recipient refused for a while (4xx, RFC 5321 section 4.2.1) is tried again, alone.
        """
        settings, to = self._settings, _recipients(message, self._settings)
        with self._session() as server:
            refused, answer = _send(server, _mail(message, settings), settings.sender, to)
        taken = f"{settings.host} took it for {len(to) - len(refused)} of {len(to)}: {answer}"
        said = "; ".join(f"{address} (status {code})" for address, (code, _) in refused.items())
        return Told(
            answer=taken,
            problem=f"{settings.host} refused {said}" if refused else None,
            left=tuple(address for address, (code, _) in refused.items() if code < 500),
        )

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Yield the server, connected and signed in.

        Raises:
            NotTold: it, or what it is asked meanwhile, fails.
        """
        settings = self._settings
        try:
            server = self._connected()
            try:
                yield server
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()  # whatever it says to that, it has the mail or not
        except smtplib.SMTPAuthenticationError as error:
            raise NotTold(f"{settings.host} refused the user or the password (status {error.smtp_code}).") from error
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise NotTold(f"{settings.host} refused every recipient (status {codes[0]}).") from error
        except smtplib.SMTPResponseException as error:
            raise NotTold(f"{settings.host} refused the mail (status {error.smtp_code}).") from error
        except smtplib.SMTPNotSupportedError as error:
            raise NotTold(f"{settings.host} offers no {_lacking(settings)}; nothing was sent.") from error
        except ssl.SSLCertVerificationError as error:
            raise NotTold(f"The certificate of {settings.host} is not trusted ({error.verify_message}).") from error
        except (smtplib.SMTPException, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise NotTold(f"{settings.host} does not answer as a mail server ({reason}).") from error

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        port = settings.called
        secured = trust(settings) if settings.security != "plain" else None
        connect = partial(smtplib.SMTP_SSL, context=secured) if settings.security == "tls" else smtplib.SMTP
        server = connect(settings.host, port, timeout=settings.timeout_s)
        try:
            if settings.security == "starttls":
                server.starttls(context=secured)
            if settings.user is not None and settings.password is not None:
                server.login(settings.user, settings.password.reveal())
        except BaseException:
            server.close()
            raise
        return server


def _recipients(message: Message, settings: MailSettings) -> Sequence[str]:
    """Return whom it is still for; one who was taken out of the settings meanwhile is not written to any more."""
    return [address for address in settings.to if address in message.only] or settings.to


def _send(
    server: smtplib.SMTP, mail: EmailMessage, sender: str, to: Sequence[str]
) -> tuple[dict[str, tuple[int, bytes]], str]:
    """Do as ``smtplib.SMTP.sendmail``, but keep the server's answer to the data, which holds its id for the mail."""
    refused = {}
    server.ehlo_or_helo_if_needed()
    code, _ = server.mail(sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, b"", sender)
    for address in to:
        code, said = server.rcpt(address)
        if code not in {250, 251}:
            refused[address] = (code, said)
    if len(refused) == len(to):
        raise smtplib.SMTPRecipientsRefused(refused)
    code, answer = server.data(mail.as_bytes(policy=_SEVEN_BIT))
    if code != 250:
        raise smtplib.SMTPDataError(code, b"")
    return refused, f"{code} {answer.decode('ascii', 'replace')[:200]}"


def _lacking(settings: MailSettings) -> str:
    return "STARTTLS" if settings.security == "starttls" else "way to sign in that is known here"


def _mail(message: Message, settings: MailSettings) -> EmailMessage:
    domain = settings.sender.rpartition("@")[2]
    mail = EmailMessage()
    mail["From"] = Address(display_name=f"k-space relay {message.relay}", addr_spec=settings.sender)
    mail["To"] = ", ".join(settings.to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    thread = sha256(f"{message.relay}/{message.topic}".encode()).hexdigest()[:24]
    mail["References"] = f"<{thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answering machine answers
    if message.severity is Severity.CRITICAL and message.kind != "over":
        mail["Importance"] = "high"
    mail.set_content(message.text, cte="quoted-printable")
    if message.picture is not None:
        name = f"picture.{message.id}@{domain}"
        alt = escape(message.picture.alt, quote=True)
        page = (
            f'<html lang="en"><body><pre style="font-family: monospace">{escape(message.text)}</pre>'
            f'<p><img src="cid:{name}" alt="{alt}"></p><p>{alt}</p></body></html>'
        )
        mail.add_alternative(page, subtype="html")
        for part in mail.iter_parts():
            if part.get_content_type() == "text/html":
                part.add_related(
                    message.picture.png, "image", "png", cid=f"<{name}>", filename="picture.png", disposition="inline"
                )
    return mail


PLUGIN = Plugin("mail", MailSettings, MailSink)
