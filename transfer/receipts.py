"""The custody receipt: what the archive proved to hold, when and how, signed with the relay's Ed25519 key."""

import base64
import json
import os
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kspace.errors import BadInput
from kspace.paths import sync_folder
from transfer.destinations import Proof
from transfer.records import RawDelivery


class Signer:
    """Signs with the key in a file that only the relay's account may read; the first use makes it.

    Raises:
        BadInput: the file holds no Ed25519 key.
    """

    def __init__(self, key_file: Path) -> None:
        if not key_file.exists():
            _make_key(key_file)
        self._key = key = _read_key(key_file)
        self.public_key = base64.b64encode(key.public_key().public_bytes_raw()).decode()

    def sign(self, document: bytes) -> str:
        """Return the signature in base64."""
        return base64.b64encode(self._key.sign(document)).decode()


def write_receipt(
    delivery: RawDelivery, proofs: Mapping[str, Proof], *, folder: str, at: datetime, signer: Signer
) -> bytes:
    """Return the signed receipt as JSON."""
    said = {
        "format": "kspace-receipt",
        "version": 1,
        "program": f"kspace-relay {version('kspace-relay')}",
        "source": {"size": delivery.capture.file.size, "sha256": delivery.capture.sha256},
        "destination": delivery.destination,
        "project": delivery.project,
        "place": delivery.place,
        "folder": folder,
        "verified_at": at.isoformat(timespec="seconds"),
        "files": {name: {"digest": p.digest, "how": p.how} for name, p in sorted(proofs.items())},
    }
    signed = {"receipt": said, "signature": signer.sign(_canonical(said)), "public_key": signer.public_key}
    return json.dumps(signed, sort_keys=True, indent=1).encode()


def check_receipt(document: bytes, *, public_key: str | None = None) -> dict[str, object]:
    """Return what a receipt says after checking its signature, against a known key where one is given.

    Raises:
        BadInput: it is no receipt, or its signature does not fit.
    """
    try:
        signed = json.loads(document)
        said: dict[str, object] = signed["receipt"]
        known = signed["public_key"] if public_key is None else public_key
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(known))
        key.verify(base64.b64decode(signed["signature"]), _canonical(said))
    except (ValueError, KeyError, TypeError, InvalidSignature) as error:
        raise BadInput("This is no receipt of the relay, or it was changed after it was signed.") from error
    return said


def _canonical(said: Mapping[str, object]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def _read_key(key_file: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{key_file} holds no Ed25519 key; move it away and the relay makes a new one.")
    return key


def _make_key(key_file: Path) -> None:
    """Write beside, sync, then link: two processes that start together end up with one key."""
    key_file.parent.mkdir(parents=True, exist_ok=True)
    beside = key_file.with_suffix(f".{os.getpid()}.new")
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, pem)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(beside, key_file)
    except FileExistsError:
        pass  # the other process was first; its key is the relay's
    finally:
        beside.unlink()
    sync_folder(key_file.parent)
