"""Requests to S3: keys read anew, no retry that nobody asked for, errors by their code. Every request passes `call`.

What S3 does is cited from the Amazon S3 API Reference; what other servers do was seen on them (docs/design/s3.md).
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Literal

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.credentials import CredentialResolver, ReadOnlyCredentials
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ReadTimeoutError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from botocore.session import Session
from pydantic import Field, model_validator

from kspace.errors import ConfigError, DestinationError
from kspace.outward import trust
from kspace.secret import Secret
from transfer.destinations.errors import (
    DestinationDown,
    Forbidden,
    Full,
    FullOrTooLarge,
    Missing,
    NotHeld,
    Refused,
    Unauthorized,
)
from transfer.destinations.reach import Reach, pace_of

_READ_TRIES = 3
_BLOCK = 1 << 18
_BROKEN = (NoConnection, HTTPClientError, IncompleteReadError, ResponseParserError)
"""What botocore raises where no whole answer came, or none that can be understood."""
_TELLS = {
    **dict.fromkeys(("list_objects_v2", "list_parts", "list_multipart_uploads"), "IsTruncated"),
    **dict.fromkeys(("put_object", "upload_part", "complete_multipart_upload", "head_object"), "ETag"),
    "create_multipart_upload": "UploadId",
}
"""What a server always says in answer to an operation. A proxy's page does not, and would pass for an empty list."""
_SAFE = "The data are safe in the spool."
_WAITS = "Everything for it waits, nothing is lost, and the relay tries again by itself."
_PROJECT = "What goes to this project waits in the spool, and the relay tries again by itself."
_KEYS = "refuses the access key ({code}). {waits} Put the right keys in their files."
_REGION = "is at another address or region ({code}). {safe} See endpoint, region and path_style, then retry."
_AGAIN = "got other bytes than were sent ({code}); the relay looks and tries again."
_EXPLAINED: dict[str, tuple[type[DestinationError], str]] = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "401"),
        (Unauthorized, _KEYS),
    ),
    "RequestTimeTooSkewed": (DestinationDown, "has another time than this machine. {waits} Set its clock by NTP."),
    "NoSuchBucket": (Missing, "has no such bucket. {safe} Create it or name another, then retry."),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "403"),
        (Forbidden, "does not let this access key do this ({code}). {project} Give it the rights."),
    ),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307"), (Refused, _REGION)),
    **dict.fromkeys(("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"), (DestinationError, _AGAIN)),
    **dict.fromkeys(("QuotaExceeded", "507"), (Full, "has no room left ({code}). {waits} Make room there.")),
    **dict.fromkeys(
        ("EntityTooLarge", "413"),
        # No part is near S3's own limit of 5 GB. Swift says this of a container whose quota is spent.
        (
            FullOrTooLarge,
            "has no room left, or a proxy before it takes no such parts ({code}). {waits} See its limits.",
        ),
    ),
    "InvalidObjectState": (
        Refused,
        "keeps it where it cannot be read now (cold storage). Restore it there, then retry.",
    ),
    **dict.fromkeys(("InvalidPart", "InvalidPartOrder"), (NotHeld, "does not hold a part any more ({code}).")),
    "409": (NotHeld, "cannot give it back whole ({code})."),
    "404": (NotHeld, "has no such object or upload ({code})."),
    "407": (DestinationDown, "does not answer: the proxy wants other credentials ({code}). {waits}"),
    **dict.fromkeys(
        ("SlowDown", "RequestTimeout", "429", "502", "503", "504"),
        (DestinationDown, "does not answer as it should ({code}). {waits}"),
    ),
}
"""By the code that the server gives, else by the status. Its sentence is never told on: it repeats the access key."""


class S3Settings(Reach):
    """How to reach a bucket and how to treat it."""

    kind: Literal["s3"] = "s3"
    endpoint: str = Field(pattern=r"^https?://[^\s?#@]+$")
    region: str = Field(default="us-east-1", pattern=r"^[A-Za-z0-9-]+$")
    path_style: bool = True
    bucket: str = Field(pattern=r"^[A-Za-z0-9._-]{3,255}$")
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9._-]+/)*$")
    access_key: Secret
    secret_key: Secret
    session_token: Secret | None = None
    encryption: Literal["AES256", "aws:kms"] | None = None
    """The server-side encryption to ask for (x-amz-server-side-encryption); None: the bucket's own choice."""
    kms_key: str | None = None
    checksum: Literal["md5", "sha256"] = "md5"
    """sha256: besides the MD5, which every server checks."""
    part_bytes: int = Field(default=8 << 20, ge=5 << 20, le=128 << 20)
    """The size of a part of an upload; S3 takes none under 5 MiB but the last (Amazon S3 User Guide, limits)."""
    parts_at_once: int = Field(default=4, ge=1, le=32)
    timeout_s: float = Field(default=300.0, gt=0)

    @property
    def file_bytes(self) -> int:
        """The largest file: one object holds a whole capture (5 TiB: Amazon S3 User Guide, limits)."""
        return 5 << 40

    @model_validator(mode="after")
    def _key_has_a_use(self) -> "S3Settings":
        if self.kms_key is not None and self.encryption != "aws:kms":
            raise ValueError('kms_key is used only with encryption = "aws:kms"')
        return self


class _Keys:
    """The access key as botocore asks for it before each request: putting a file right, or anew, is enough."""

    METHOD = CANONICAL_NAME = "kspace"

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self.last = self._read()

    def load(self) -> "_Keys":
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        try:
            self.last = self._read()
        except ConfigError as error:
            raise Unauthorized(f"Destination {self._settings.name} cannot be signed in to. {_WAITS} {error}") from error
        return ReadOnlyCredentials(*self.last)

    @staticmethod
    def get_deferred_property(_name: str) -> Callable[[], None]:
        return lambda: None  # an account's number, which only addresses of Amazon's own would need

    def were_replaced(self) -> bool:
        """Return whether there are others now than the last request was signed with."""
        used = self.last
        self.get_frozen_credentials()
        return self.last != used

    def _read(self) -> tuple[str, str, str | None]:
        given = self._settings
        token = given.session_token.reveal() if given.session_token else None
        return given.access_key.reveal(), given.secret_key.reveal(), token


class S3Client:
    """One client of one bucket; safe to share between threads."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._keys = _Keys(settings)
        self.pace = pace_of(settings)
        self._api = _connect(settings, self._keys)
        self._api.meta.events.register_last("before-parameter-build.s3", _stay)
        for operation in ("PutObject", "UploadPart"):
            self._api.meta.events.register(f"before-send.s3.{operation}", self._slow_down)

    def call(self, operation: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 -- whatever the operation takes
        """Return the answer to one operation on the bucket (its name as botocore has it, ``list_parts``).

        What only reads is asked again at once when the line breaks, so that a proof of many files gets to its end.

        Raises:
            NotHeld: there is no such object or upload.
            DestinationError: as its class says.
        """
        is_read = operation.startswith(("get_", "head_", "list_"))
        for left in reversed(range(_READ_TRIES if is_read else 1)):
            try:
                answer: dict[str, Any] = getattr(self._api, operation)(Bucket=self._settings.bucket, **given)
            except ClientError as error:
                raise self._refused(error, operation) from None
            except _BROKEN as error:
                if not left or isinstance(error, ReadTimeoutError):
                    raise self._down(type(error).__name__) from None
            else:
                if _TELLS.get(operation) not in {None, *answer}:
                    raise self._down("a page for people instead of data")
                return answer
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(self, key: str, **more: str) -> Iterator[Iterator[bytes]]:
        """Read one object block by block; ``Range`` asks for a stretch of it (RFC 9110, section 14.2)."""
        body = self.call("get_object", Key=key, **more)["Body"]
        try:
            yield body.iter_chunks(_BLOCK)
        except _BROKEN as error:
            raise self._down(type(error).__name__) from None
        finally:
            body.close()

    def sha256(self, key: str) -> str:
        """Read one object and return its digest; from its start again, at once, when the line breaks.

        Raises:
            NotHeld: it ends too early, and each time at the same byte: a line breaks anywhere, a lost part does not.
        """
        ends: list[int] = []
        while True:
            digest, length = sha256(), 0
            try:
                with self.stream(key) as blocks:
                    for block in blocks:
                        digest.update(block)
                        length += len(block)
            except DestinationDown:
                ends.append(length)
                if len(ends) == _READ_TRIES and len(set(ends)) == 1 and length:
                    said = f"gives back {length:,} bytes of an object, and never the rest."
                    raise NotHeld(f"Destination {self._settings.name} {said}") from None
                if len(ends) == _READ_TRIES:
                    raise
            else:
                return digest.hexdigest()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _slow_down(self, request: AWSPreparedRequest, **_: object) -> None:
        """Send the body as the calendar has it. At this point its length and its signature stand in the headers."""
        if isinstance(request.body, bytes):
            whole = memoryview(request.body)
            blocks = (whole[start : start + _BLOCK] for start in range(0, len(whole), _BLOCK))
            request.body = self.pace.paced(blocks)

    def _refused(self, error: ClientError, operation: str) -> DestinationError:
        status = str(error.response["ResponseMetadata"].get("HTTPStatusCode", ""))
        code = re.sub(r"[^A-Za-z0-9.]", "", str(error.response["Error"].get("Code")))[:64] or status
        if operation == "head_object" and code in {"400", "403"}:
            self.call("list_objects_v2", MaxKeys=1)  # a HEAD has no body that says why: this one's says it
        kind, what = _EXPLAINED.get(code) or _EXPLAINED.get(status) or (Refused, _OTHERWISE)
        if kind is Refused and status == "500":
            kind, what = DestinationError, "failed ({code}); the relay looks and tries again."
        if kind is Unauthorized and self._keys.were_replaced():
            kind, what = DestinationDown, "refused an access key that was replaced just now. {waits}"
        return kind(
            f"Destination {self._settings.name} {what.format(code=code, safe=_SAFE, waits=_WAITS, project=_PROJECT)}"
        )

    def _down(self, how: str) -> DestinationDown:
        return DestinationDown(f"Destination {self._settings.name} does not answer as it should ({how}). {_WAITS}")


def _stay(context: dict[str, Any], **_: object) -> None:
    """Let botocore believe that it followed a redirect already: it would go where no configuration says.

    Where that server sends it on again, it asks without end (S3RegionRedirectorv2).
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


_OTHERWISE = "refused ({code}). {safe} See what its manual says of that, then retry."


def _connect(settings: S3Settings, keys: _Keys) -> Any:  # noqa: ANN401 -- boto3 makes its clients at run time
    """Return a client of boto3 that takes nothing from the environment and repeats nothing by itself.

    Checksums that S3 does not demand are left away: servers of before 2024 answer 501 or 411 to them over TLS.
    """
    trust(settings)
    session = Session(session_vars={"profile": (None, None, None, None)})
    session.set_config_variable("config_file", os.devnull)
    session.set_config_variable("credentials_file", os.devnull)
    session.register_component("credential_provider", CredentialResolver([keys]))
    proxy = settings.proxy.signed_url() if settings.proxy else None
    certificate = (settings.client_cert, settings.client_key) if settings.client_key else settings.client_cert
    return boto3.Session(botocore_session=session).client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        verify=settings.ca_file or True,
        config=Config(
            s3={"addressing_style": "path" if settings.path_style else "virtual"},
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=20.0,
            read_timeout=settings.timeout_s,
            max_pool_connections=settings.at_once * (settings.parts_at_once + 1),
            client_cert=certificate,
            proxies={"http": proxy, "https": proxy} if proxy else {},
            ignore_configured_endpoint_urls=True,
        ),
    )
