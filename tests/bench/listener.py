"""How fast images become durable: ``python tests/bench/listener.py [--images N] [--rounds N] [--large MB]``.

dcmtk's storescu sends MR images of 512 KB over one and over four associations to the relay's listener, to Orthanc, to
a plain pynetdicom receiver and to dcmtk's storescp, in turn, each from an empty start. The relay syncs file and catalog
before each Success, Orthanc its index; the other two sync nothing. All with TCP_NODELAY=1: without it dcmtk waits 40 ms
for every acknowledgement. The folder must be on a disk, not in memory. ``alone`` is the relay that receives in its one
process. With --large instead: the memory that the relay takes for one enhanced object of so many megabytes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from dicom.synthetic import SyntheticSeries, write_session

_SIDE = 512
_ASSOCIATIONS = (1, 4)
_PORT = 11_190
_ENV = {**os.environ, "TCP_NODELAY": "1", "XNAT_PASSWORD": "none"}
_RELAY = """
[relay]
folder = "{folder}/relay"
name = "bench"
[dicom]
port = {port}
{more}
[[destination]]
name = "central"
kind = "xnat"
url = "http://127.0.0.1:9"
user = "relay"
password = {{ env = "XNAT_PASSWORD" }}
[[route]]
destinations = ["central"]
project = "BENCH"
"""
_PLAIN = """
import sys
from pathlib import Path
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification
folder = Path(sys.argv[2])
def store(event):
    (folder / event.request.AffectedSOPInstanceUID).write_bytes(event.encoded_dataset())
    return 0
entity = AE("KSPACE")
entity.supported_contexts = AllStoragePresentationContexts
entity.add_supported_context(Verification)
entity.maximum_pdu_size = 0
entity.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_C_STORE, store)])
"""


def relay(folder: Path, port: int, more: str = "") -> list[str]:
    """Return the relay's listener, with a catalog and a route."""
    (folder / "relay.toml").write_text(_RELAY.format(folder=folder, port=port, more=more))
    return [str(Path(sys.executable).with_name("kspace")), "listen", "-c", str(folder / "relay.toml")]


def alone(folder: Path, port: int) -> list[str]:
    """Return the same without processes beside it."""
    return relay(folder, port, "processes = 1")


def orthanc(folder: Path, port: int) -> list[str]:
    """Return Orthanc as installed, on a folder of its own."""
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": "KSPACE",
        "DicomAlwaysAllowStore": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    return ["Orthanc", str(folder / "orthanc.json")]


def storescp(folder: Path, port: int) -> list[str]:
    """Return dcmtk's storescp with a process an association; it syncs nothing."""
    return ["storescp", "--fork", "+B", "-aet", "KSPACE", "-od", str(folder), str(port)]


def pynetdicom(folder: Path, port: int) -> list[str]:
    """Return a receiver of a dozen lines; it syncs nothing."""
    return [sys.executable, "-c", _PLAIN, str(port), str(folder)]


_RECEIVERS: dict[str, Callable[[Path, int], list[str]]] = {
    "relay": relay,
    "alone": alone,
    "orthanc": orthanc,
    "pynetdicom": pynetdicom,
    "storescp": storescp,
}


def write_images(folder: Path, number: int) -> None:
    """Write the images of one study, a series for each association."""
    random, study = np.random.default_rng(1), generate_uid()
    series = [generate_uid() for _ in range(max(_ASSOCIATIONS))]
    for image in range(number):
        part = image % len(series)
        one = Dataset()
        one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, generate_uid()
        one.StudyInstanceUID, one.SeriesInstanceUID = study, series[part]
        one.PatientID, one.StudyDate, one.Modality, one.SeriesNumber = "BENCH", "20260101", "MR", part + 1
        one.Rows = one.Columns = _SIDE
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.PixelData = random.integers(0, 4096, (_SIDE, _SIDE), dtype="uint16").tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        (folder / str(part)).mkdir(parents=True, exist_ok=True)
        one.save_as(folder / str(part) / f"{image:05}.dcm", enforce_file_format=True)


def send(folders: list[Path]) -> float:
    """Send each folder over an association of its own and return the seconds it took."""
    command = ["storescu", "-aec", "KSPACE", "+sd", "+r", "127.0.0.1", str(_PORT)]
    began = time.perf_counter()
    senders = [subprocess.Popen([*command, folder], env=_ENV, stderr=subprocess.PIPE) for folder in folders]
    for sender in senders:
        _, said = sender.communicate()
        if sender.returncode:
            raise SystemExit(f"storescu failed: {said.decode(errors='replace')}")
    return time.perf_counter() - began


def run(name: str, images: Path, scratch: Path, associations: int) -> tuple[float, float]:
    """Return images a second, and the receiver's CPU seconds for 1000 images."""
    parts = [images] if associations == 1 else sorted(images.iterdir())
    number = sum(1 for _ in images.rglob("*.dcm"))
    with receiving(name, scratch) as pid:
        send(sorted((images.parent / "first").iterdir())[:associations])  # processes may start with their connection
        before = used(pid)
        seconds = send(parts)
        return number / seconds, (used(pid) - before) * 1000 / number


@contextmanager
def receiving(name: str, scratch: Path) -> Iterator[int]:
    """Run a receiver from an empty start and yield its process id once it answers."""
    scratch.mkdir(parents=True)
    with (scratch / "log").open("wb") as log:
        receiver = subprocess.Popen(_RECEIVERS[name](scratch, _PORT), env=_ENV, stdout=log, stderr=log)
    try:
        echo = ["echoscu", "-aec", "KSPACE", "127.0.0.1", str(_PORT)]
        while subprocess.run(echo, env=_ENV, stderr=subprocess.DEVNULL, check=False).returncode:
            threading.Event().wait(0.1)
            if receiver.poll() is not None:
                raise SystemExit(f"{name} does not start: {(scratch / 'log').read_text()}")
        yield receiver.pid
    finally:
        receiver.terminate()
        receiver.wait()


def large(folder: Path, megabytes: int) -> None:
    """Print the relay's peak memory before and after one enhanced object of so many megabytes."""
    series = SyntheticSeries(
        baseline="XA",
        serial="35000",
        number=3,
        protocol="gre",
        lprotid=3,
        ticks=(14_400_000,),
        frame_of_reference="1.2",
    )
    [image] = write_session(folder / "large", series)
    content, size = image.read_bytes(), megabytes << 20
    pixels = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    with receiving("relay", folder / "receiver") as pid:
        send([image.parent])
        before = peak_mb(pid)
        image.write_bytes(content[:pixels] + size.to_bytes(4, "little"))
        os.truncate(image, pixels + 4 + size)
        seconds = send([image.parent])
        said = f"{megabytes} MB in {seconds:.0f} s: peak memory {before:.0f} MB before, {peak_mb(pid):.0f} MB after\n"
    sys.stdout.write(said)


def peak_mb(pid: int) -> float:
    """Return the most memory that a process and its children ever had."""
    receiver = psutil.Process(pid)
    files = [Path(f"/proc/{one.pid}/status") for one in (receiver, *receiver.children(recursive=True))]
    said = [file.read_text(encoding="ascii") for file in files]
    return sum(int(status.split("VmHWM:")[1].split()[0]) for status in said) / 1024


def used(pid: int) -> float:
    """Return the CPU seconds of a process and of its children."""
    receiver = psutil.Process(pid)
    of_all = [one.cpu_times() for one in (receiver, *receiver.children(recursive=True))]
    return float(sum(t.user + t.system + t.children_user + t.children_system for t in of_all))


def main() -> None:
    """Print a table: the median over all rounds, and the relay's ratio to each peer."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--images", type=int, default=200)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--folder", type=Path, default=None)
    asked.add_argument("--large", type=int, metavar="MB")
    asked.add_argument("--only", nargs="*", default=list(_RECEIVERS))
    asked.add_argument("--associations", type=int, nargs="*", default=list(_ASSOCIATIONS))
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        folder = Path(scratch)
        if given.large:
            large(folder, given.large)
            return
        write_images(folder / "images", given.images)
        write_images(folder / "first", max(_ASSOCIATIONS))
        mb = next((folder / "images").rglob("*.dcm")).stat().st_size / 1e6
        began = 0
        for associations in given.associations:
            rates: dict[str, list[tuple[float, float]]] = {name: [] for name in given.only}
            for _ in range(given.rounds):
                for receiver, found in rates.items():
                    began += 1  # in a folder of its own: ext4 gives no inode anew within seconds, and searches for long
                    found.append(run(receiver, folder / "images", folder / f"receiver{began}", associations))
            median = {name: statistics.median(rate for rate, _ in found) for name, found in rates.items()}
            for name, found in rates.items():
                said = f"{median[name]:6.0f} images/s {median[name] * mb:6.0f} MB/s"
                said += f" {statistics.median(cpu for _, cpu in found):6.2f} CPU s/1000"
                ratio = f"  relay is {median['relay'] / median[name]:.2f} times that" if "relay" in median else ""
                sys.stdout.write(f"{associations} association(s)  {name:<11}{said}{ratio}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
