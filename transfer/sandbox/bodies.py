"""Request bodies: which kind XNAT sees in them, and how they reach the disk, never held in memory."""

from typing import BinaryIO

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request

_IN_BODY_TYPES = frozenset(
    """application/octet-stream application/zip application/x-zip-compressed application/x-tar application/gzip
    application/x-gzip application/x-compressed application/dicom application/pdf application/xml text/plain text/xml
    text/csv text/tab-separated-values image/jpeg image/png image/gif image/bmp image/tiff image/svg+xml video/mpeg
    video/mp4 video/quicktime video/x-msvideo audio/mpeg audio/x-wav""".split()  # noqa: SIM905 -- a table of names
)
BATCH_BYTES = 1024 * 1024


def content_type(request: Request) -> str:
    """Return the media type without its parameters, lower-case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_in_body(request: Request) -> bool:
    """Return whether the body itself is the file (SecureResource#getFileWritersAndLoadParams, RequestUtil)."""
    kind = content_type(request)
    asked = request.query_params.get("inbody") == "true"
    if asked and kind == "multipart/form-data":
        raise HTTPException(400, "inbody=true does not go with a multipart body.")
    return asked or kind in _IN_BODY_TYPES


def demand_length(request: Request) -> None:
    """Refuse (500) an in-body upload without a length of at least 1, unless it is a zip (trap 8)."""
    length = int(request.headers.get("content-length") or -1)
    if request.headers.get("content-encoding"):
        length = -1
    if length < 1 and content_type(request) != "application/zip":
        raise HTTPException(500, "In-body uploads need a Content-Length of at least 1.")


async def receive_raw(request: Request, file: BinaryIO) -> None:
    """Write the body straight into an open file.

    Raises:
        ClientDisconnect: the body broke off; what came before it is in the file.
    """
    batch = bytearray()
    try:
        async for piece in request.stream():
            batch += piece
            if len(batch) >= BATCH_BYTES:
                await anyio.to_thread.run_sync(file.write, bytes(batch))
                batch.clear()
    finally:
        file.write(batch)
