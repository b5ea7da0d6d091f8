"""Form bodies: their fields, and their files spooled to disk."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from transfer.sandbox.bodies import BATCH_BYTES, content_type


@dataclass(slots=True)
class Upload:
    """A file that arrived in a multipart body, spooled to ``path``."""

    filename: str
    path: Path


@dataclass(slots=True)
class Form:
    """A multipart or form body: its fields and its files."""

    fields: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)

    def discard(self) -> None:
        """Remove the spooled files that nobody took."""
        for upload in self.uploads:
            upload.path.unlink(missing_ok=True)


async def receive_form(request: Request, scratch: Path) -> Form:
    """Return a form body's fields and files; each file is spooled whole before anything else is done with it.

    Raises:
        HTTPException: 400, the body is no multipart body.
        ClientDisconnect: the body broke off; nothing is kept.
    """
    if content_type(request) == "application/x-www-form-urlencoded":
        return Form(fields=dict(parse_qsl((await request.body()).decode())))
    form = Form()
    if content_type(request) != "multipart/form-data":
        return form
    _, options = parse_options_header(request.headers["content-type"])
    reader = _Reader(form, scratch)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())  # type: ignore[arg-type]
        batch = bytearray()
        async for piece in request.stream():
            batch += piece
            if len(batch) >= BATCH_BYTES:
                await anyio.to_thread.run_sync(parser.write, bytes(batch))
                batch.clear()
        parser.write(bytes(batch))
        reader.finish(parser)
    except FormParserError as error:
        form.discard()
        raise HTTPException(400, "The multipart body could not be read.") from error
    except ClientDisconnect:
        form.discard()
        raise
    finally:
        reader.close()
    return form


class _Reader:
    """Collects what the multipart parser reports."""

    def __init__(self, form: Form, scratch: Path) -> None:
        self._form, self._scratch = form, scratch
        self._headers: dict[str, str] = {}
        self._key, self._value, self._field = b"", b"", ""
        self._file: BinaryIO | None = None
        self._text = b""
        self._is_over = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def finish(self, parser: MultipartParser) -> None:
        parser.finalize()
        if not self._is_over:
            raise FormParserError("The last boundary is missing.")

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers, self._key, self._value, self._text = {}, b"", b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._key += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._key.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._key, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._field = options.get(b"name", b"").decode()
        if b"filename" in options:
            handle, path = tempfile.mkstemp(dir=self._scratch)
            self._file = os.fdopen(handle, "wb")
            self._form.uploads.append(Upload(options[b"filename"].decode(), Path(path)))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file:
            self._file.write(memoryview(data)[start:end])
        else:
            self._text += data[start:end]

    def _part_end(self) -> None:
        if self._file:
            self.close()
        else:
            self._form.fields[self._field] = self._text.decode()

    def _end(self) -> None:
        self._is_over = True
