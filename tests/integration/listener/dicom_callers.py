"""Who calls the listener in its tests: dcmtk's programs and pynetdicom's own sender."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.dimse_primitives import C_STORE

MR = "1.2.840.10008.5.1.4.1.1.4"


def run(tool: str, port: int, *arguments: object, called: str = "KSPACE") -> subprocess.CompletedProcess[str]:
    # Without TCP_NODELAY dcmtk waits 40 ms for every acknowledgement.
    env = {**os.environ, "TCP_NODELAY": "1"}
    command = [tool, "-v", "-aec", called, "127.0.0.1", str(port), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)


def associate(port: int, *classes: str, called: str = "KSPACE", calling: str = "TEST"):
    entity = AE(calling)
    entity.requested_contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in classes or (MR,)]
    return entity.associate("127.0.0.1", port, ae_title=called)


def send(port: int, path: Path) -> int:
    association = associate(port)
    try:
        return association.send_c_store(path).Status
    finally:
        association.release()


def send_raw(association, content: bytes, *, offset: int | None = None) -> int:
    """Send bytes as the data set of an announced MR image, whatever they are."""
    if offset is None:
        offset = 144 + int.from_bytes(content[140:144], "little")
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = MR
    request.AffectedSOPInstanceUID = "1.3.12.2.1107.5.2.32.35000.20260105000300001"
    request.DataSet = BytesIO(content[offset:])
    # As Association.send_c_store does: its own thread must not take the answer.
    association._reactor_checkpoint.clear()
    wait_for(lambda: association._is_paused)
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return response.Status


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def growing(spool: Path) -> bool:
    """Whether an object of which more than a megabyte has arrived lies there now."""
    with suppress(FileNotFoundError):  # a small one may end between being listed and being looked at
        return any(part.stat().st_size > 1 << 20 for part in spool.glob("*.part"))
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail("it did not happen within a minute")
