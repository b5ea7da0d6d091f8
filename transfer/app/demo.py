"""The demonstration: a practice scanner, a sandbox archive, the real relay between them, and a table that proves it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pynetdicom import AE

from kspace.clock import Clock
from kspace.errors import KspaceError
from transfer.app.practice import RAW_FILES, RawFile, write_practice_scanner
from transfer.app.probing import run_probe
from transfer.app.wiring import Box
from transfer.catalog import lists
from transfer.config import load_config
from transfer.restore import restore
from transfer.sandbox import Sandbox, SandboxSettings
from transfer.states import DeliveryState

_WAIT_S = 0.1
_CONFIG = """\
# The demonstration's own configuration; relay.example.toml explains every line.
[relay]
name = "practice-box"
folder = "{folder}/relay"
backoff_s = 0.5
keep_s = 0
chunk_bytes = 1048576

[dicom]
ae_title = "KSPACE"
port = 0
quiet_s = 1.0

[[scanner]]
name = "practice"
practice = true   # a folder, no scanner: only therefore it may be listed every second
poll_s = 1.0
quiet_s = 1.0
patience_s = 3.0

  [[scanner.source]]
  kind = "share"
  path = "{folder}/scanner"

[[destination]]
name = "sandbox"
kind = "xnat"
url = "{url}"
user = "relay"
password = {{ file = "{folder}/xnat-password" }}
part_bytes = 2000000

[[route]]
destinations = ["sandbox"]
project = "DEMO"

[[rule]]
name = "functional and structural"
project = "DEMO"
protocols = ["t1_*", "gre_*", "ep2d_*"]
"""


class DemoFailed(KspaceError):
    """The demonstration did not show what it must show."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one raw file of the practice scanner."""

    file: RawFile
    story: dict[str, Any]
    is_as_it_must_be: bool


class Demonstration:
    """Runs the main job once, from the scanner's share to the archive and back."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._open = ExitStack()
        self.url = ""
        self.config_path = folder / "relay.toml"

    @contextmanager
    def running(self) -> Iterator["Demonstration"]:
        """Start the archive, the practice scanner and the relay; stop them at the end."""
        with self._open:
            sandbox = self._open.enter_context(Sandbox(self.folder / "archive", SandboxSettings()))
            self.url = sandbox.url
            self._images = write_practice_scanner(self.folder)
            (self.folder / "xnat-password").write_text("relay\n")
            self.config_path.write_text(_CONFIG.format(folder=self.folder, url=self.url))
            self.box = Box(load_config(self.config_path), clock=self._clock)
            self._open.callback(self.box.close)
            [self._listener] = self.box.listeners()
            for part in (self._listener, self.box.engine()):
                part.start()
                self._open.callback(part.stop)
            yield self

    def probe(self) -> tuple[int, int]:
        """Ask the archive how it behaves, so that its own digests may be relied on; return questions and surprises."""
        profile = run_probe(self.box, "sandbox", project="SCRATCH", tell=lambda _: None)
        return len(profile.answers), sum(not answer.is_as_known for answer in profile.answers)

    def send_dicom(self) -> int:
        """Send the practice scanner's images by C-STORE (PS3.4, annex B) and return how many were accepted."""
        entity = AE(ae_title="PRACTICE")
        datasets = [pydicom.dcmread(path) for path in self._images]
        for sop_class, syntax in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}:
            entity.add_requested_context(sop_class, syntax)
        association = entity.associate("127.0.0.1", self._listener.port, ae_title="KSPACE")
        if not association.is_established:
            raise DemoFailed("The relay's DICOM listener does not take the practice scanner's call.")
        accepted: int = sum(association.send_c_store(d).Status == 0 for d in datasets)
        association.release()
        return accepted

    def wait(self, *, within_s: float, tell: Callable[[dict[str, str]], None]) -> None:
        """Wait until every raw file has come to its end; ``tell`` gets every file's state again and again.

        Raises:
            DemoFailed: one did not, in time.
        """
        until = self._clock.monotonic() + within_s
        while self._clock.monotonic() < until:
            states = {row["path"]: row["state"] for row in self._captures()}
            tell(states)
            if all(states.get(f.name) in f.ends for f in RAW_FILES):
                return
            self._clock.sleep(_WAIT_S)
        stuck = [f"{r['path']}: {r['state']}, {r['reason']}" for r in self._captures()]
        raise DemoFailed("Not everything came to its end in time. " + " | ".join(stuck))

    def lines(self) -> list[Line]:
        """Return what became of every raw file, judged against what must have become of it."""
        with self.box.database.read() as connection:
            stories = {
                row["path"]: lists.story(connection, row["id"]) for row in lists.captures(connection, limit=1000)
            }
        return [
            Line(file=f, story=stories[f.name], is_as_it_must_be=self._is_right(f, stories[f.name])) for f in RAW_FILES
        ]

    def restore_one(self) -> tuple[str, str]:
        """Restore the first delivered file from the archive; return its name and SHA-256, equal to the scanner's.

        Raises:
            DemoFailed: the bytes differ.
        """
        line = next(line for line in self.lines() if line.file.is_delivered)
        sent = line.story["deliveries"][0]
        folder = f"{line.story['mid']:07d}-{line.story['sha256'][:12]}"
        target = self.folder / f"restored-{line.file.name}"
        restore(
            self.box.archives()["sandbox"],
            place=sent["place"],
            folder=folder,
            sha256_expected=line.story["sha256"],
            target=target,
        )
        digests = {_sha256(target), _sha256(self.folder / "scanner" / line.file.name)}
        if len(digests) != 1:
            raise DemoFailed(f"The restored {line.file.name} is not the file on the scanner.")
        return line.file.name, digests.pop()

    def _captures(self) -> list[dict[str, Any]]:
        with self.box.database.read() as connection:
            return lists.captures(connection, limit=1000)

    def _is_right(self, file: RawFile, story: dict[str, Any]) -> bool:
        if story["state"] not in file.ends:
            return False
        if not file.is_delivered:
            return not story["deliveries"]
        on_share = _sha256(self.folder / "scanner" / file.name)
        verified = [d for d in story["deliveries"] if d["state"] == DeliveryState.VERIFIED and d["receipt"]]
        return len(verified) == 1 and story["sha256"] == on_share


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
