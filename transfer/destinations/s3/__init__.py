"""A bucket of S3: one object a capture, its documents beside it (docs/design/s3.md)."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from kspace.errors import SpoolError
from kspace.registry import Plugin
from transfer.destinations import Body, Proof, Stored
from transfer.destinations.errors import Forbidden, Missing, NotHeld, Refused
from transfer.destinations.proving import prove_each
from transfer.destinations.s3.client import S3Client, S3Settings
from transfer.destinations.s3.upload import Uploader
from transfer.destinations.timing import Line
from transfer.routing import session_name

_NAME = re.compile(r"[0-9a-f]{12}")
_OLD = timedelta(days=7)


class S3:
    """The RawArchive port on a bucket. A place is the beginning of the keys of one session's captures."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client = S3Client(settings)
        self._uploader = Uploader(self._client, settings)

    def obey(self, ceiling: Callable[[], float]) -> None:
        """Upload no faster than what it returns, in Mbit/s."""
        self._client.pace.obey(ceiling)

    def open_place(self, *, project: str, experiment: str, series_uid: str | None) -> str:  # noqa: ARG002 -- the port's
        """Return ``<prefix><project>/<session>``; nothing has to be made there.

        The right to write shows at the first request of an upload, which carries none of the capture's bytes.
        """
        self._client.call("list_objects_v2", Prefix=self._settings.prefix, MaxKeys=1)
        return f"{self._settings.prefix}{project}/{experiment}"

    def places(self, *, project: str, session: str, scan: str | None) -> list[str]:
        """Return the one place of a session, which is named by `session_name` or by its Study Instance UID."""
        if scan is not None:
            raise Missing("A bucket knows sessions and no scans; leave the scan out.")
        name = session if _NAME.fullmatch(session) else session_name(session)
        place = f"{self._settings.prefix}{project}/{name}"
        if not self._client.call("list_objects_v2", Prefix=f"{place}/", MaxKeys=1).get("Contents"):
            raise Missing(
                f"Bucket {self._settings.bucket} has no such session in project {project}. It is called there by the "
                "twelve characters that `kspace show` gives, or by its Study Instance UID."
            )
        return [place]

    def listing(self, place: str) -> dict[str, Stored]:
        """Return the objects below the place. An ETag is not everywhere an MD5, so none is told as one."""
        return {
            row["Key"].removeprefix(f"{place}/"): Stored(size=row["Size"], md5=None) for row in self._rows(f"{place}/")
        }

    def put(self, place: str, name: str, body: Body, *, progress: Callable[[], None] = lambda: None) -> None:
        """Send one object, in parts where it is large."""
        self._uploader.send(f"{place}/{name}", body, progress=progress)

    def prove(self, place: str, files: Mapping[str, Body], *, afresh: bool = False) -> dict[str, Proof]:
        """Compare ETag and length; where the ETag is no MD5 of ours, or for a fresh proof, read back and hash."""
        return prove_each(files, lambda name, body: self._proof(place, name, body, afresh=afresh))

    @contextmanager
    def read(self, place: str, name: str) -> Iterator[Iterator[bytes]]:
        """Open one object for reading back."""
        with self._client.stream(f"{place}/{name}") as blocks:
            yield blocks

    @contextmanager
    def read_range(self, place: str, name: str, *, start: int, size: int) -> Iterator[Iterator[bytes]]:
        """Open a stretch of one object for reading back."""
        with self._client.stream(f"{place}/{name}", Range=f"bytes={start}-{start + size - 1}") as blocks:
            yield blocks

    def check(self) -> str:
        """Write, read back and list as a delivery does, and return one line; the object is removed if that is allowed.

        Raises:
            DestinationError: one of it is not possible.
        """
        note = Body.of(b"Written by `kspace check` to see that it may. Nobody needs it.\n")
        self._uploader.send(self._note, note, progress=lambda: None)
        if self._client.sha256(self._note) != note.sha256:
            raise NotHeld("The archive gives back other bytes than it was given to try. Nothing else was sent.")
        self._client.call("list_objects_v2", Prefix=self._settings.prefix, MaxKeys=1)
        self._client.call("list_multipart_uploads", Prefix=self._note)
        return f"may write to, read and list bucket {self._settings.bucket} at {self._settings.endpoint}"

    def time_upload(self, body: Body, *, project: str) -> Line:
        """Send a body as often at once as deliveries run at once, in uploads that are never completed."""
        keys = [f"{self._settings.prefix}{project}/kspace-bench-{n}" for n in range(self._settings.at_once)]
        with ThreadPoolExecutor(len(keys)) as threads:
            began = time.monotonic()
            list(threads.map(lambda key: self._uploader.rehearse(key, body), keys))
            return Line(bytes_per_s=body.size * len(keys) / (time.monotonic() - began))

    def server_date(self) -> str | None:
        """Return the server's own time as its Date header says it (RFC 9110, section 6.6.1)."""
        answer = self._client.call("list_objects_v2", Prefix=self._settings.prefix, MaxKeys=1)
        said: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return said

    def advice(self) -> list[str]:
        """Tell of a right to delete, of versions that are not kept, and of uploads that nobody ended."""
        said = []
        if self._asked("delete_object", Key=self._note) is not None:
            said.append("the access key may delete; the relay needs no such right: take it away")
        versions = self._asked("get_bucket_versioning")
        if versions is not None and versions.get("Status") != "Enabled":
            said.append("the bucket keeps no versions: what somebody overwrites there is gone; turn versioning on")
        uploads = (self._asked("list_multipart_uploads", Prefix=self._settings.prefix) or {}).get("Uploads", ())
        if old := sum(datetime.now(UTC) - upload["Initiated"] > _OLD for upload in uploads):
            said.append(
                f"{old} uploads were begun over a week ago and never ended, and cost room; let a lifecycle rule "
                "(AbortIncompleteMultipartUpload) end such"
            )
        return said

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def _note(self) -> str:
        return f"{self._settings.prefix}kspace-check.txt"

    def _asked(self, operation: str, **given: str) -> dict[str, Any] | None:
        """Return the answer to what need not be allowed; None: it is not, or the server does not know it."""
        try:
            return self._client.call(operation, **given)
        except (Forbidden, Refused):
            return None

    def _proof(self, place: str, name: str, body: Body, *, afresh: bool) -> Proof:
        head = self._client.call("head_object", Key=f"{place}/{name}")
        if head["ContentLength"] != body.size:
            raise NotHeld(f"The archive holds {name} with another length; it is sent again.")
        etag = str(head["ETag"]).strip('"').lower()
        if not afresh and etag == self._expected(body):
            return Proof(digest=f"etag:{etag}", how="the archive's own MD5 of what it stored, and its length")
        if self._client.sha256(f"{place}/{name}") != body.sha256:
            raise NotHeld(f"The archive gives back other bytes for {name}; it is sent again.")
        return Proof(digest=f"sha256:{body.sha256}", how="read back from the archive and hashed")

    def _expected(self, body: Body) -> str | None:
        try:
            return self._uploader.etag(body)
        except SpoolError:
            return None  # freed, or damaged here: what the archive gives back is judged by its digest

    def _rows(self, prefix: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._client.call("list_objects_v2", Prefix=prefix, **more)
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}


PLUGIN = Plugin("s3", S3Settings, S3)
