"""How fast a delivery is sent beside curl and boto3's transfer manager: ``python -m tests.bench.upload``.

Four bodies at the same time over TLS on loopback to one sink, which reads and forgets, so that the client is what is
measured. Ours is the whole path of a part: from the packed file as multipart/form-data, hashed on the way, so that what
the spool's disk altered never leaves whole; once without that, to see what it costs; to S3 with an MD5 of each part
besides. curl sends the same form, alone and after openssl dgst. boto3's `upload_file` splits as by default, with the
checksums it adds by itself and without. Alternating runs; the least wall-clock and CPU seconds of each count.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

import boto3
from botocore.config import Config

from tests.campaign.trust import Authority
from transfer.destinations import Body
from transfer.destinations.s3 import S3
from transfer.destinations.s3.client import S3Settings
from transfer.destinations.xnat import Xnat
from transfer.destinations.xnat.client import XnatSettings
from transfer.stages.send import _BLOCK, _range

_FILES = 4
_PLACE = "/data/experiments/XNAT_E00001/scans/1/resources/KSPACE"
_STARTED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
_LISTED = b"<ListResult><IsTruncated>false</IsTruncated></ListResult>"
_COMPLETED = b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'


def ours(url: str, folder: Path, *, hashing: bool = True) -> Callable[[int], object]:
    """Send parts as the relay does."""
    (folder / "password").write_text("x")
    given = {"name": "sink", "url": url, "user": "x", "password": {"file": str(folder / "password")}}
    archive = Xnat(XnatSettings.model_validate(given | {"ca_file": str(folder / "ca.pem")}))
    bodies = _bodies(folder, hashing=hashing)
    return lambda number: archive.put(_PLACE, f"f/part-{number:05d}.bin", bodies[number])


def ours_to_s3(url: str, folder: Path) -> Callable[[int], object]:
    """Send objects as the relay does, in parts of their own MD5 each."""
    (folder / "key").write_text("x")
    keys = {key: {"file": str(folder / "key")} for key in ("access_key", "secret_key")}
    given = {"name": "sink", "endpoint": url, "bucket": "bucket", "ca_file": str(folder / "ca.pem")}
    archive, bodies = S3(S3Settings.model_validate(given | keys)), _bodies(folder, hashing=True)
    return lambda number: archive.put("p", f"{number}.bin", bodies[number])


def _bodies(folder: Path, *, hashing: bool) -> list[Body]:
    bodies = []
    for number in range(_FILES):
        path = folder / f"{number}.bin"
        size, digest = path.stat().st_size, hashlib.file_digest(path.open("rb"), "sha256").hexdigest()
        blocks = partial(_range, path, 0, size, digest) if hashing else partial(_plain, path)
        bodies.append(Body(size=size, md5="", sha256=digest, blocks=blocks))
    return bodies


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            yield block


def curl(url: str, folder: Path, *, hashing: bool = False) -> Callable[[int], object]:
    """Send the same forms with one curl each."""
    told = ("curl", "-sS", "--fail", "--cacert", folder / "ca.pem", "-H", "Expect:", "-X", "PUT")

    def send(number: int) -> None:
        if hashing:
            subprocess.run(
                ["openssl", "dgst", "-sha256", folder / f"{number}.bin"], check=True, stdout=subprocess.DEVNULL
            )
        to = f"{url}{_PLACE}/files/f/part-{number:05d}.bin?overwrite=true"
        form = f"file=@{folder}/{number}.bin;type=application/octet-stream"
        subprocess.run([*told, "-F", form, to], check=True, stdout=subprocess.DEVNULL)

    return send


def boto(url: str, folder: Path, *, checksums: str) -> Callable[[int], object]:
    """Send with boto3's transfer manager."""
    client = boto3.client(
        "s3", endpoint_url=url, verify=str(folder / "ca.pem"), region_name="x",
        aws_access_key_id="x", aws_secret_access_key="x",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation=checksums, max_pool_connections=40),
    )  # fmt: skip
    return lambda number: client.upload_file(str(folder / f"{number}.bin"), "bucket", f"{number}.bin")


CLIENTS: dict[str, Callable[[str, Path], Callable[[int], object]]] = {
    "the relay": ours,
    "the relay, not hashing": partial(ours, hashing=False),
    "curl": curl,
    "openssl dgst, then curl": partial(curl, hashing=True),
    "the relay, to S3": ours_to_s3,
    "boto3, its checksums": partial(boto, checksums="when_supported"),
    "boto3, without": partial(boto, checksums="when_required"),
}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(name: str, url: str, folder: Path) -> dict[str, float]:
    """Return the seconds one client takes for all files at the same time, without its start."""
    send = CLIENTS[name](url, folder)
    began, used = time.perf_counter(), _cpu_s()
    with ThreadPoolExecutor(_FILES) as pool:
        list(pool.map(send, range(_FILES)))
    return {"wall": time.perf_counter() - began, "cpu": _cpu_s() - used}


class Sink:
    """Answers uploads of both kinds, and forgets them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve for ever."""
        while True:
            one, _ = self._listener.accept()
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        waste = memoryview(bytearray(1 << 18))
        with self._context.wrap_socket(one, server_side=True) as tls, tls.makefile("rb", 1 << 16) as reader:
            while asked := reader.readline():
                head = b"".join(iter(reader.readline, b"\r\n")).lower()
                if b"100-continue" in head:
                    tls.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                length = re.search(rb"^content-length: *(\d+)", head, re.MULTILINE)
                if length:
                    _forget(reader, int(length[1]), waste)
                while b"transfer-encoding: chunked" in head and (size := int(reader.readline(), 16)):
                    _forget(reader, size + 2, waste)
                if b"transfer-encoding: chunked" in head:
                    list(iter(reader.readline, b"\r\n"))
                texts = {b"GET": _LISTED, b"POST": _STARTED if b"?uploads" in asked else _COMPLETED}
                text = texts.get(asked.partition(b" ")[0], b"")
                tls.sendall(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n%b' % (len(text), text))


def _forget(reader: BinaryIO, size: int, waste: memoryview) -> None:
    while size:
        size -= reader.readinto(waste[: min(size, len(waste))]) or size  # type: ignore[attr-defined]


def _run(*words: object) -> str:
    command = [sys.executable, "-m", "tests.bench.upload", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Run every client several times and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        name, url, folder = given.client
        sys.stdout.write(json.dumps(measure(name, url, Path(folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sink = Sink(Authority(folder, "localhost").server())
        for number in range(_FILES):
            (folder / f"{number}.bin").write_bytes(os.urandom(given.megabytes * 1_000_000))
        taken: dict[str, list[dict[str, float]]] = {client: [] for client in CLIENTS}
        serving = os.fork()
        if not serving:
            sink.run()
        try:
            for _ in range(given.runs):
                for client, seconds in taken.items():
                    seconds.append(json.loads(_run("--client", client, f"https://localhost:{sink.port}", folder)))
        finally:
            os.kill(serving, 9)
            os.waitpid(serving, 0)
    best = {client: {k: min(s[k] for s in seconds) for k in ("wall", "cpu")} for client, seconds in taken.items()}
    gigabytes = _FILES * given.megabytes / 1000
    sys.stdout.write("| client | MB/s | wall, of curl's | CPU s/GB | CPU, of curl's |\n|---|---|---|---|---|\n")
    for client, least in best.items():
        ratios = {kind: least[kind] / best["curl"][kind] for kind in least}
        sys.stdout.write(
            f"| {client} | {gigabytes * 1000 / least['wall']:.0f} | {ratios['wall']:.2f} | "
            f"{least['cpu'] / gigabytes:.2f} | {ratios['cpu']:.2f} |\n"
        )


if __name__ == "__main__":
    main()
