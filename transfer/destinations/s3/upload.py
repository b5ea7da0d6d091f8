"""One object in parts, begun again where it broke off: the server's own lists say what it has."""

from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5, sha256
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import Any

from kspace.errors import DestinationError
from transfer.destinations import Body
from transfer.destinations.errors import Forbidden, NotHeld
from transfer.destinations.s3.client import S3Client, S3Settings

_MOST_PARTS = 10_000
"""Amazon S3 User Guide, multipart upload limits."""
_STARTS = 3
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class _Piece:
    number: int
    data: bytes

    @property
    def md5(self) -> bytes:
        return md5(self.data, usedforsecurity=False).digest()

    @property
    def sha256(self) -> str:
        return b64encode(sha256(self.data).digest()).decode()


class Uploader:
    """Sends objects. What it keeps in memory is `parts_at_once` parts and two, whatever the object's size."""

    def __init__(self, client: S3Client, settings: S3Settings) -> None:
        self._client = client
        self._settings = settings

    def send(self, key: str, body: Body, *, progress: Callable[[], None]) -> None:
        """Send one object, only those parts of it that an unfinished upload of the same key does not have already.

        Its return proves nothing: whether the object is there, and is the one that was meant, is to be looked at.
        """
        if body.size <= self._settings.part_bytes:
            (piece,) = _pieces(body, self._settings.part_bytes) if body.size else (_Piece(1, b""),)
            self._client.call("put_object", Key=key, **self._encryption(), **self._checked(piece))
            progress()
            return
        for _ in range(_STARTS):
            try:
                self._send_in_parts(key, body, progress)
            except NotHeld:
                continue  # somebody ended the upload meanwhile, or a part is gone: look again and go on
            return
        raise DestinationError(
            f"An upload to destination {self._settings.name} was ended there {_STARTS} times; the relay tries again."
        )

    def rehearse(self, key: str, body: Body) -> None:
        """Send an object's parts, and have the server throw them away."""
        upload = self._begin(key)
        try:
            self._sent(body, {"Key": key, "UploadId": upload}, {}, lambda: None)
        finally:
            self._abort(key, [upload])

    def etag(self, body: Body) -> str:
        """Return the ETag of the object where it is the MD5 of the parts' MD5s; of one in one piece: its MD5."""
        if body.size <= self._settings.part_bytes:
            return body.md5
        digests = [piece.md5 for piece in _pieces(body, self._settings.part_bytes)]
        return f"{md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"

    def _send_in_parts(self, key: str, body: Body, progress: Callable[[], None]) -> None:
        unfinished = self._unfinished(key)
        upload = unfinished[-1] if unfinished else self._begin(key)
        parts = self._sent(body, {"Key": key, "UploadId": upload}, self._parts(key, upload), progress)
        self._client.call(
            "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": list(parts.values())}
        )
        self._abort(key, [other for other in unfinished if other != upload])

    def _sent(
        self, body: Body, to: dict[str, str], there: dict[int, dict[str, Any]], progress: Callable[[], None]
    ) -> dict[int, dict[str, Any]]:
        """Send the parts that are not there, several at once; whatever ends it, what has begun is waited for.

        The threads are daemons: whoever ends the relay need not wait for a silent line.
        """
        parts: dict[int, dict[str, Any]] = {}
        on_the_way: deque[AsyncResult[None]] = deque()

        def send(piece: _Piece) -> None:
            answer = self._client.call("upload_part", **to, PartNumber=piece.number, **self._checked(piece))
            parts[piece.number] = self._named(piece, answer["ETag"])

        def settle(left: int) -> None:
            while len(on_the_way) > left:
                on_the_way.popleft().get()
                progress()

        with ThreadPool(self._settings.parts_at_once) as pool:
            try:
                for piece in _pieces(body, self._settings.part_bytes):
                    if _is_same(there.get(piece.number), piece):
                        parts[piece.number] = self._named(piece, there[piece.number]["ETag"])
                        progress()
                        continue
                    settle(self._settings.parts_at_once - 1)
                    on_the_way.append(pool.apply_async(send, (piece,)))
                settle(0)
            finally:
                for result in on_the_way:
                    result.wait()
        return dict(sorted(parts.items()))

    def _begin(self, key: str) -> str:
        algorithm = {"ChecksumAlgorithm": "SHA256"} if self._settings.checksum == "sha256" else {}
        begun = self._client.call("create_multipart_upload", Key=key, **self._encryption(), **algorithm)
        upload: str = begun["UploadId"]
        return upload

    def _unfinished(self, key: str) -> list[str]:
        """Return the uploads of this key that were begun and not ended, the newest last."""
        listed = self._client.call("list_multipart_uploads", Prefix=key).get("Uploads", ())
        ours = sorted((u["Initiated"], u["UploadId"]) for u in listed if u["Key"] == key)
        return [upload for _, upload in ours]

    def _parts(self, key: str, upload: str) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        more: dict[str, Any] = {}
        while True:
            page = self._client.call("list_parts", Key=key, UploadId=upload, **more)
            found |= {part["PartNumber"]: part for part in page.get("Parts", ())}
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def _abort(self, key: str, uploads: list[str]) -> None:
        """Let go of older uploads of the same object: what they hold costs room, and is in the object now."""
        for upload in uploads:
            try:
                self._client.call("abort_multipart_upload", Key=key, UploadId=upload)
            except (Forbidden, NotHeld):
                continue  # the right to do so is not needed; the bucket's lifecycle does it too

    def _checked(self, piece: _Piece) -> dict[str, Any]:
        given = {"Body": piece.data, "ContentMD5": b64encode(piece.md5).decode()}
        return given | ({"ChecksumSHA256": piece.sha256} if self._settings.checksum == "sha256" else {})

    def _named(self, piece: _Piece, etag: str) -> dict[str, Any]:
        """Return what completion asks for: the server's own word for the part."""
        checksum = {"ChecksumSHA256": piece.sha256} if self._settings.checksum == "sha256" else {}
        return {"PartNumber": piece.number, "ETag": etag, **checksum}

    def _encryption(self) -> dict[str, str]:
        given = {"ServerSideEncryption": self._settings.encryption, "SSEKMSKeyId": self._settings.kms_key}
        return {name: value for name, value in given.items() if value is not None}


def _is_same(part: dict[str, Any] | None, piece: _Piece) -> bool:
    """Return whether the server lists this very piece: by its MD5, or by a checksum that it was given."""
    if part is None or part["Size"] != len(piece.data):
        return False
    return part["ETag"].strip('"') == piece.md5.hex() or part.get("ChecksumSHA256") == piece.sha256


def _pieces(body: Body, part_bytes: int) -> Iterator[_Piece]:
    """Cut a body as it is uploaded: by its size and the setting alone, so that a second life cuts in the same way."""
    fewest = -(-body.size // _MOST_PARTS)
    size = max(part_bytes, -(-fewest // _MIB) * _MIB)
    number, held, length = 1, list[bytes](), 0
    for whole in body.blocks():
        block = whole
        while length + len(block) >= size:
            cut = size - length
            yield _Piece(number, b"".join([*held, block[:cut]]))
            number, held, length, block = number + 1, [], 0, block[cut:]
        held.append(block)
        length += len(block)
    if length:
        yield _Piece(number, b"".join(held))
