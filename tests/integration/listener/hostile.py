"""Hostile callers, by seed: ``python tests/integration/listener/hostile.py --seeds 20000 [--from N]``.

Each seed is a conversation that would store one image, spoilt in one of the ways below, over one connection. Between
them an honest caller stores images. At the end everything that was answered with Success must be there, whole, and the
listener must still take images.
"""

import argparse
import hashlib
import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dicom.commands import Command
from dicom.pdus import BrokenProtocol, PduType, data_pdus, pdu, signal
from dicom.synthetic import SyntheticSeries, write_session

MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
_AT_ONCE = 8
_HONEST_EVERY = 25
_PATIENCE_S = 5.0
_ROOM_MB = 80.0
"""A buffer of half a megabyte for each of 48 connections, and what the interpreter keeps."""

_LISTENER = """
import itertools, json, resource, sys, threading
from pathlib import Path
import structlog
from dicom.inbox import Status
from dicom.listener import Listener
from dicom.settings import ListenerSettings
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
folder = Path(sys.argv[1])
class Inbox:
    def __init__(self):
        self.refused = 0
    def accept(self, together):
        for received in together:
            received.path.replace(folder / received.instance.sop_uid)
        return [Status.SUCCESS] * len(together)
    def refuse(self, refused):
        self.refused += 1
    def turn_away(self, *_):
        pass
    def promise(self, *_):
        return Status.SUCCESS
    def report(self, *_):
        return None
    def reported(self, *_):
        pass
inbox = Inbox()
settings = ListenerSettings(port=0, idle_s=3.0, processes=1)
listener = Listener(settings, inbox=inbox, folder=folder / "incoming", shelf=folder / "shelf")
listener.start()
for line in itertools.chain([0], sys.stdin):
    said = {"port": listener.port, "threads": threading.active_count(), "refused": inbox.refused}
    said["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(said), flush=True)
"""


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def conversation(
    data_set: bytes, sop_uid: str, *, sop_class: str = MR, syntax: str = EXPLICIT, calling: str = "HOSTILE"
) -> list[bytes]:
    """Return the PDUs that ask for an association, store one image and release."""
    context = bytes([1, 0, 0, 0]) + item(0x30, sop_class.encode()) + item(0x40, syntax.encode())
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    titles = f"{'KSPACE':<16}{calling:<16}".encode()
    asked = struct.pack(">H2x", 1) + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    request = pdu(PduType.ASSOCIATE_RQ, asked + item(0x20, context) + item(0x50, user))
    of, uid = (name.encode() + b"\0" * (len(name) % 2) for name in (sop_class, sop_uid))
    told = {
        0x0002: of,
        0x0100: b"\1\0",
        0x0110: b"\1\0",
        0x0700: b"\0\0",
        0x0800: b"\1\0",
        0x1000: uid,
    }
    command = b"".join(struct.pack("<HHL", 0, key, len(value)) + value for key, value in told.items())
    stored = list(data_pdus(1, command, is_command=True, max_pdu_bytes=0))
    stored += data_pdus(1, data_set, is_command=False, max_pdu_bytes=4096)
    return [request, *stored, signal(PduType.RELEASE_RQ)]


def flipped(chance: random.Random, pdus: list[bytes]) -> bytes:
    """Some bytes are others."""
    content = bytearray(b"".join(pdus))
    for _ in range(chance.randint(1, 12)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def cut(chance: random.Random, pdus: list[bytes]) -> bytes:
    """It ends anywhere."""
    content = b"".join(pdus)
    return content[: chance.randrange(len(content))]


def wrong_length(chance: random.Random, pdus: list[bytes]) -> bytes:
    """A PDU, or a fragment in it, says another length than it has."""
    which = chance.randrange(len(pdus))
    spoilt = bytearray(pdus[which])
    at = 2 if chance.random() < 0.5 or len(spoilt) < 10 else 6
    length = chance.choice([0, 1, 5, 6, 7, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF, chance.getrandbits(32)])
    spoilt[at : at + 4] = struct.pack(">L", length)
    return b"".join([*pdus[:which], bytes(spoilt), *pdus[which + 1 :]])


def huge(chance: random.Random, pdus: list[bytes]) -> bytes:
    """A PDU of four gigabytes begins, and goes on for a while."""
    kind = chance.choice([1, 4, 4, 4, 5, 7])
    head = struct.pack(">BxL", kind, 0xFFFFFFFF - chance.randrange(1000))
    fragment = struct.pack(">LBB", 0xFFFFFF00, 1, chance.randrange(4))
    return b"".join(pdus[: chance.randrange(3)]) + head + fragment + bytes(chance.randrange(1 << 21))


def out_of_order(chance: random.Random, pdus: list[bytes]) -> bytes:
    """PDUs come in another order, twice, or not at all."""
    return b"".join(chance.choices(pdus, k=chance.randint(1, 2 * len(pdus))))


def noise(chance: random.Random, pdus: list[bytes]) -> bytes:
    """No DICOM at all, from the beginning or after the association began."""
    return b"".join(pdus[: chance.randrange(2)]) + chance.randbytes(chance.randrange(1 << 16))


def huge_element(chance: random.Random, pdus: list[bytes]) -> bytes:
    """An element of the data set says that it is longer than everything there is."""
    which = chance.randrange(2, len(pdus) - 1)
    spoilt = bytearray(pdus[which])
    at = chance.randrange(12, len(spoilt) - 8)
    spoilt[at : at + 8] = b"OB\0\0" + struct.pack("<L", chance.choice([0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFE]))
    return b"".join([*pdus[:which], bytes(spoilt), *pdus[which + 1 :]])


def whole(chance: random.Random, pdus: list[bytes]) -> bytes:
    """Nothing is wrong but how it ends."""
    return b"".join(pdus[: chance.randint(len(pdus) - 1, len(pdus))])


SPOILT: tuple[Callable[[random.Random, list[bytes]], bytes], ...] = (
    *(flipped, cut, wrong_length, huge),
    *(out_of_order, noise, huge_element, whole),
)


@dataclass
class Siege:
    """One listener in a process of its own, and everything it said Success to."""

    folder: Path
    accepted: set[str] = field(default_factory=set)
    honest: set[str] = field(default_factory=set)
    unanswered: int = 0

    def __post_init__(self) -> None:
        series = SyntheticSeries(
            baseline="VB", serial="35000", number=3, protocol="gre", lprotid=-3, ticks=(14_400_000,),
            frame_of_reference="1.3.12.2.1107.5.2.32.35000.1.20260105083000000.0.0.0",
        )  # fmt: skip
        [image] = write_session(self.folder / "images", series)
        content = image.read_bytes()
        self.data_set = content[144 + int.from_bytes(content[140:144], "little") :]
        self.sop_uid = "1.3.12.2.1107.5.2.32.35000.20260105000300001"
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _LISTENER, str(self.folder)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.port = self.state()["port"]

    def state(self) -> dict[str, float]:
        if self.process.stdout is None or self.process.stdin is None:
            raise RuntimeError("the listener has no pipes")
        if hasattr(self, "port"):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        said: dict[str, float] = json.loads(self.process.stdout.readline())
        return said

    def images(self, number: int) -> tuple[str, bytes]:
        """Return an image of that number: its UID and its data set."""
        uid = f"{self.sop_uid[:-6]}{number:06}"
        return uid, self.data_set.replace(self.sop_uid.encode(), uid.encode())

    def attack(self, seed: int) -> None:
        chance = random.Random(seed)
        uid, data_set = self.images(seed % 500_000)
        content = chance.choice(SPOILT)(chance, conversation(data_set, uid))
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S) as caller:
            if chance.random() < 0.2:  # a reset instead of an end
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(content)
            if chance.random() < 0.8:
                caller.shutdown(socket.SHUT_WR)
                self._heed(caller, uid)
        if seed % _HONEST_EVERY == 0:
            self.be_honest(seed)

    def be_honest(self, seed: int) -> None:
        uid, data_set = self.images(500_000 + seed % 500_000)  # never those that were spoilt
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as caller:
            caller.sendall(b"".join(conversation(data_set, uid)))
            self.honest.add(uid)
            if not self._heed(caller, uid):
                self.unanswered += 1

    def _heed(self, caller: socket.socket, uid: str) -> bool:
        """Read the answers to the end and note each Success."""
        said = b""
        with suppress(OSError):
            while piece := caller.recv(1 << 16):
                said += piece
        is_taken = False
        while len(said) >= 6:
            kind, length = struct.unpack(">BxL", said[:6])
            if kind == PduType.DATA:
                with suppress(BrokenProtocol):
                    answer = Command.parse(said[12 : 6 + length])
                    is_taken = is_taken or (answer.status == 0 and answer.field == 0x8001)
                    if answer.status == 0 and answer.field == 0x8001:
                        self.accepted.add(answer.sop_uid or uid)
            said = said[6 + length :]
        return is_taken

    def lost(self) -> list[str]:
        """Return what was accepted and is not there, or not whole."""
        missing = []
        for uid in self.accepted:
            path = self.folder / uid
            if not path.is_file():
                missing.append(uid)
                continue
            content = path.read_bytes()
            digest = hashlib.sha256(content[144 + int.from_bytes(content[140:144], "little") :]).hexdigest()
            wanted = hashlib.sha256(self.images(int(uid[-6:]))[1]).hexdigest()
            if uid in self.honest and digest != wanted:  # what a hostile caller spoilt was accepted as it came
                missing.append(uid)
        return missing

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def besiege(folder: Path, seeds: range) -> dict[str, float]:
    """Run the seeds and return what became of the listener: numbers that a test or a person can judge."""
    siege = Siege(folder)
    try:
        siege.be_honest(0)
        before = siege.state()
        with ThreadPoolExecutor(_AT_ONCE) as callers:
            for done in [callers.submit(siege.attack, seed) for seed in seeds]:
                done.result()
        siege.be_honest(499_999)
        after = siege.state()
        return {
            "seeds": len(seeds),
            "accepted": len(siege.accepted),
            "refused": after["refused"],
            "lost": len(siege.lost()),
            "honest_unanswered": siege.unanswered,
            "grown_mb": round(after["peak_mb"] - before["peak_mb"], 1),
            "threads": after["threads"],
        }
    finally:
        siege.end()


def main() -> None:
    """Run as many seeds as are asked for and print what came of it."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=2000)
    asked.add_argument("--from", type=int, default=0, dest="first")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = besiege(Path(folder), range(given.first, given.first + given.seeds))
    sys.stdout.write(json.dumps(found) + "\n")
    sys.exit(bool(found["lost"] or found["honest_unanswered"] or found["grown_mb"] > _ROOM_MB))


if __name__ == "__main__":
    main()
