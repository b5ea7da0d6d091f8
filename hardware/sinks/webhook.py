"""Messages by HTTPS: signed JSON, or the text that Slack and Teams show."""

import hashlib
import hmac
import json
import re
from typing import Annotated, Any, ClassVar, Literal

import httpx
from pydantic import AfterValidator, Field

from hardware.sinks import Message, NotTold, SinkSettings, Told
from kspace.clock import Clock, SystemClock
from kspace.outward import Outward, trust, way_out
from kspace.registry import Plugin
from kspace.secret import PlainUrl, Secret

_OURS = re.compile(r"https://|http://(localhost|127\.0\.0\.1|\[::1\])[:/]")


def _is_safe(url: str) -> str:
    if not _OURS.match(url):
        raise ValueError("a webhook is reached by https://; by http:// only on this machine")
    return url


_Url = Annotated[PlainUrl, AfterValidator(_is_safe)]


class WebhookSettings(SinkSettings, Outward):
    """Where to post, in which words, and with which signature."""

    what: ClassVar[str] = "Sink"

    kind: Literal["webhook"] = "webhook"
    url: _Url | Secret
    """A secret where the address itself lets anybody in, as those of Slack and Teams do."""
    style: Literal["json", "slack", "teams"] = "json"
    secret: Secret | None = None
    """What the body is signed with."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)


class WebhookSink:
    """Posts one document a message; only an answer of 2xx counts as taken, and no redirection is followed."""

    def __init__(self, settings: WebhookSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()

    def answers(self) -> None:
        """Return nothing: only a message shows whether it takes one."""

    def tell(self, message: Message) -> Told:
        """Post it; ``Idempotency-Key`` is the message's id."""
        settings = self._settings
        url = settings.url if isinstance(settings.url, str) else settings.url.reveal()
        body = json.dumps(_document(message, settings.style)).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        if settings.secret is not None:
            headers |= self._signed(body, settings.secret.reveal())
        context, proxy = trust(settings), way_out(settings)
        if not _OURS.match(url):
            raise NotTold(f"The address of the webhook {settings.name} does not begin with https://.")
        try:
            with httpx.Client(
                verify=context, proxy=proxy, trust_env=False, timeout=settings.timeout_s, follow_redirects=False
            ) as client:
                answer = client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # their texts may name the address
            raise NotTold(f"The webhook {settings.name} does not answer ({type(error).__name__}).") from None
        if not answer.is_success:
            raise NotTold(f"The webhook {settings.name} refused the message (status {answer.status_code}).")
        return Told(answer=f"answered {answer.status_code}")

    def _signed(self, body: bytes, secret: str) -> dict[str, str]:
        """Sign time and body, so that neither can be changed, nor an old one be played again."""
        at = str(int(self._clock.now().timestamp()))
        digest = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"X-Kspace-Timestamp": at, "X-Kspace-Signature": f"sha256={digest}"}


def _document(message: Message, style: str) -> dict[str, Any]:
    if style == "slack":
        # https://docs.slack.dev/messaging/formatting-message-text: these three are control characters there.
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": f"*{message.subject}*\n{text}"}
    if style == "teams":
        return {"type": "message", "attachments": [_card(message)]}
    return {
        "id": message.id,
        "kind": message.kind,
        "topic": message.topic,
        "severity": message.severity,
        "relay": message.relay,
        "site": message.site,
        "at": message.at.isoformat(),
        "subject": message.subject,
        "text": message.text,
        "open": message.count,
        "alerts": [
            {
                "key": a.key,
                "severity": a.severity,
                "text": a.text,
                "raised_at": a.raised_at.isoformat(),
                "cleared_at": a.cleared_at.isoformat() if a.cleared_at else None,
            }
            for a in message.alerts
        ],
    }


def _card(message: Message) -> dict[str, Any]:
    """Return the card that a Teams webhook takes (Adaptive Cards 1.4, in the envelope of Workflows)."""
    title = {"type": "TextBlock", "text": message.subject, "weight": "bolder", "wrap": True}
    lines = [{"type": "TextBlock", "text": line, "wrap": True} for line in message.text.splitlines() if line]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [title, *lines],
    }
    return {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}


PLUGIN = Plugin("webhook", WebhookSettings, WebhookSink)
