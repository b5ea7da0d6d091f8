"""Faults played on purpose, and the list of requests seen."""

import asyncio
import random
import re
import threading
from collections import deque
from pathlib import Path
from typing import TypedDict

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer.sandbox.settings import Faults
from transfer.sandbox.tables import status_page

LOG_LENGTH = 100_000


class Seen(TypedDict):
    """One request as ``GET /sandbox/log`` tells it. ``status`` 0: the client saw no answer."""

    method: str
    path: str
    query: str
    status: int
    bytes_in: int
    bytes_out: int


class Mischief:
    """Draws the faults. ``set`` replaces them and starts the counts and the random draws anew."""

    def __init__(self, faults: Faults) -> None:
        self._lock = threading.Lock()
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Play these faults from now on."""
        with self._lock:
            self.faults = faults
            self._random = random.Random(faults.seed)
            self._played = 0
            self._stored = 0

    def strikes(self, chance: float) -> bool:
        """Return whether a fault of this chance happens now."""
        with self._lock:
            spent = self.faults.limit is not None and self._played >= self.faults.limit
            if not chance or spent or self._random.random() >= chance:
                return False
            self._played += 1
            return True

    def stored(self, path: Path) -> None:
        """Count a stored file, and flip its middle byte on disk when it is its turn."""
        with self._lock:
            self._stored += 1
            size = path.stat().st_size
            if self._stored not in self.faults.corrupt_uploads or not size:
                return
            with path.open("r+b") as file:
                file.seek(size // 2)
                (byte,) = file.read(1)
                file.seek(size // 2)
                file.write(bytes([byte ^ 0xFF]))


class FaultGate:
    """Stands before everything else: plays the faults and keeps the log. ``scope["reset"]`` cuts the connection."""

    def __init__(self, app: ASGIApp, *, mischief: Mischief, log: deque[Seen]) -> None:
        self._app, self._mischief, self._log = app, mischief, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; the sandbox's own URLs are never touched nor logged."""
        if scope["path"].startswith("/sandbox/"):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            await self._play(scope, exchange)
        finally:
            self._log.append(exchange.seen)

    async def _play(self, scope: Scope, exchange: "_Exchange") -> None:
        faults, strikes = self._mischief.faults, self._mischief.strikes
        if not re.search(faults.only, f"{scope['method']} {scope['path']}"):
            await self._app(scope, exchange.receive, exchange.send)
            return
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        length = int(Request(scope).headers.get("content-length", "0") or 0)
        if faults.body_limit_bytes is not None and length > faults.body_limit_bytes:
            await status_page(413, "Request Entity Too Large")(scope, exchange.receive, exchange.send)
        elif strikes(faults.refuse):
            await status_page(faults.refuse_status, "")(scope, exchange.receive, exchange.send)
        elif strikes(faults.drop_before):
            exchange.reset()
        else:
            has_body = length or "transfer-encoding" in Request(scope).headers
            exchange.cut_at = length // 2 if has_body and strikes(faults.drop_within) else None
            await self._handle(scope, exchange)

    async def _handle(self, scope: Scope, exchange: "_Exchange") -> None:
        faults, strikes = self._mischief.faults, self._mischief.strikes
        drops = strikes(faults.drop_after)
        times_out = not drops and strikes(faults.gateway_timeout)
        exchange.is_mute = drops or times_out
        await self._app(scope, exchange.receive, exchange.send)
        exchange.is_mute = False
        if drops:
            exchange.reset()
        elif times_out:
            await status_page(504, "Gateway Time-out")(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer, counted, mutable by faults."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._abort = receive, send, scope["reset"]
        query = scope["query_string"].decode()
        self.seen = Seen(method=scope["method"], path=scope["path"], query=query, status=0, bytes_in=0, bytes_out=0)
        self.is_mute = False
        self.cut_at: int | None = None
        self._is_cut = False

    def reset(self) -> None:
        self.seen["status"] = 0
        self._abort()

    async def receive(self) -> Message:
        if self._is_cut:
            self.reset()
            return {"type": "http.disconnect"}
        message = await self._receive()
        body = message.get("body", b"")
        self.seen["bytes_in"] += len(body)
        if self.cut_at is None or self.seen["bytes_in"] < self.cut_at:
            return message
        self._is_cut = True
        kept = len(body) - (self.seen["bytes_in"] - self.cut_at)
        return {**message, "body": body[:kept], "more_body": True}

    async def send(self, message: Message) -> None:
        if self.is_mute:
            return
        if message["type"] == "http.response.start":
            self.seen["status"] = message["status"]
        self.seen["bytes_out"] += len(message.get("body", b""))
        await self._send(message)
