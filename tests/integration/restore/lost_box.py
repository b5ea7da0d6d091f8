"""A site after the loss of its box, for tests of restoring."""

import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
from typer.testing import CliRunner

from kspace.errors import KspaceError
from tests.integration.relay import Raw
from transfer.app.cli import app
from transfer.sandbox import Faults

KSPACE = Path(sys.executable).with_name("kspace")
SPAN = "meas_MID00001_FID40001_gre_1.dat"
VB = "meas_MID00002_FID40002_gre_2.dat"
SMALL = "meas_MID00004_FID40004_gre_4.dat"


@dataclass(frozen=True, slots=True)
class Lost:
    """A site after the loss of its box: the archive, a configuration, and the files as they were."""

    folder: Path
    archive: Path
    url: str
    config: Path
    session: str
    raws: dict[str, Raw]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def play(self, **faults: object) -> None:
        httpx.put(f"{self.url}/sandbox/faults", json=Faults(**faults).model_dump()).raise_for_status()

    def fetched(self) -> list[str]:
        """Return the names of the parts that were asked for since the last time."""
        log = httpx.get(f"{self.url}/sandbox/log").json()
        httpx.delete(f"{self.url}/sandbox/log")
        return sorted(r["path"].rpartition("/")[2] for r in log if r["method"] == "GET" and "/part-" in r["path"])

    def command(self, *more: object) -> list[str]:
        return ["restore", *map(str, more), "--project", "DEMO", "--session", self.session, "-c", str(self.config)]

    def restore(self, *more: object) -> str:
        said = CliRunner().invoke(app, [*self.command(*more), "-o", str(self.out)])
        assert said.exit_code == 0, (said.output, said.exception)
        return said.stdout

    def fails(self, kind: type[KspaceError], *more: object) -> str:
        said = CliRunner().invoke(app, [*self.command(*more), "-o", str(self.out)])
        assert type(said.exception) is kind, (said.output, said.exception)
        return str(said.exception)

    def stored(self, file: str, name: str) -> Path:
        """Return where the archive keeps a file of a capture."""
        digest = self.raws[file].sha256[:12]
        (found,) = (p for p in self.archive.rglob(name) if digest in str(p))
        return found


def of_vb(lost: Lost) -> Lost:
    """Return the site with the VB file's session."""
    rows = httpx.get(f"{lost.url}/data/projects/DEMO/experiments?format=json", auth=("reader", "reader")).json()
    (label,) = (row["label"] for row in rows["ResultSet"]["Result"] if row["label"] != lost.session)
    return Lost(lost.folder, lost.archive, lost.url, lost.config, label, lost.raws)


def spoil(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at if at >= 0 else len(data) // 2] ^= 1
    path.write_bytes(data)
