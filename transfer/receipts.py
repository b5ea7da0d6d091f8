"""The custody receipt: what the archive proved to hold, when and how, signed with the relay's Ed25519 key.

The form is strict: one receipt is one string of bytes, so no byte of it can change unnoticed.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kspace.errors import BadInput
from kspace.paths import sync_folder
from transfer.destinations import Proof
from transfer.records import RawDelivery

_FORMAT = "kspace-receipt"
_VERSION = 1


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
        self.public_pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, document: bytes) -> str:
        """Return the signature in base64."""
        return base64.b64encode(self._key.sign(document)).decode()


def write_receipt(
    delivery: RawDelivery, proofs: Mapping[str, Proof], *, folder: str, at: datetime, signer: Signer
) -> bytes:
    """Return the signed receipt as JSON."""
    said = {
        "format": _FORMAT,
        "version": _VERSION,
        "program": f"kspace-relay {version('kspace-relay')}",
        "source": {"size": delivery.capture.file.size, "sha256": delivery.capture.sha256},
        "destination": delivery.destination,
        "project": delivery.project,
        "place": delivery.place,
        "folder": folder,
        "verified_at": at.isoformat(timespec="seconds"),
        "files": {name: _proved(name, proof, delivery) for name, proof in sorted(proofs.items())},
    }
    return _written({"receipt": said, "signature": signer.sign(_canonical(said)), "public_key": signer.public_key})


def check_receipt(document: bytes, *, public_key: str | None = None) -> dict[str, Any]:
    """Return what a receipt says after checking its form and signature, against a known key where one is given.

    Without one this shows that nothing was changed since somebody signed it, and not who.

    Raises:
        BadInput: it is no receipt, was changed, is signed with another key, or is of a later version.
    """
    try:
        signed = json.loads(document)
        said: dict[str, Any] = dict(signed["receipt"])
        key = _public_key(signed["public_key"])
        if public_key is not None and signed["public_key"] != public_key:
            _public_key(public_key)
            raise BadInput(
                f"This receipt is signed with the key {signed['public_key']} and not with {public_key}: it is another "
                "relay's, or forged."
            )
        key.verify(_bytes(signed["signature"]), _canonical(said))
        is_ours = (said.get("format"), said.get("version")) == (_FORMAT, _VERSION)
        is_as_written = _written(signed) == document.rstrip(b"\r\n") and (not is_ours or _is_complete(said))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSignature):
        is_as_written = False
    if not is_as_written:
        raise BadInput("This is no receipt of the relay, or it was changed after it was signed.")
    if not is_ours:
        raise BadInput("This receipt is of a later version of the relay; check it with that.")
    return said


def compare(said: Mapping[str, Any], path: Path) -> str:
    """Return which of the things that a receipt is for a file is: the original, the packed file, or one part.

    Raises:
        BadInput: it is none of them, or cannot be read.
    """
    parts = {name.rpartition("/")[2]: f for name, f in sorted(said["files"].items()) if "size" in f}
    sizes, digests = [f["size"] for f in parts.values()], [f["sha256"] for f in parts.values()]
    try:
        size = path.stat().st_size
        if size == said["source"]["size"] and _digests(path, [size]) == [said["source"]["sha256"]]:
            return "the original file, byte for byte"
        if parts and size == sum(sizes) and _digests(path, sizes) == digests:
            return f"the packed file: each of its {len(parts)} parts is what the archive showed to hold"
        if size in sizes:
            found = _digests(path, [size])[0]
            for name, file in parts.items():
                if file["sha256"] == found:
                    return f"{name}, which the archive showed to hold"
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from error
    expected = f"{said['source']['size']:,} bytes, SHA-256 {said['source']['sha256']}"
    raise BadInput(f"{path} ({size:,} bytes) is not what this receipt is for ({expected}), nor a part of it.")


def known_key(given: str) -> str:
    """Return a public key in base64, given so or as the path of a PEM file.

    Raises:
        BadInput: it is no Ed25519 public key.
    """
    try:
        text = Path(given).read_bytes() if Path(given).is_file() else None
        key = serialization.load_pem_public_key(text) if text else _public_key(given)
    except (ValueError, OSError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{given} is no Ed25519 public key, neither in base64 nor a PEM file.")
    return base64.b64encode(key.public_bytes_raw()).decode()


def _proved(name: str, proof: Proof, delivery: RawDelivery) -> dict[str, Any]:
    """Say what the archive showed, in whatever digest it has; of a part also what anybody can compare a file with."""
    parts = {part.name: {"size": part.size, "sha256": part.sha256} for part in delivery.parts}
    return {"digest": proof.digest, "how": proof.how} | parts.get(name.rpartition("/")[2], {})


def _is_complete(said: Mapping[str, Any]) -> bool:
    """Whether all is there that is shown and compared: whoever has a key can sign anything."""
    texts = [said["destination"], said["place"], said["verified_at"], said["source"]["sha256"]]
    parts = [file for file in said["files"].values() if "size" in file]
    sizes = [said["source"]["size"], *(part["size"] for part in parts)]
    are_digests = all(isinstance(part["sha256"], str) for part in parts)
    return are_digests and all(type(size) is int for size in sizes) and all(str.isprintable(text) for text in texts)


def _written(signed: Mapping[str, Any]) -> bytes:
    return json.dumps(signed, sort_keys=True, indent=1).encode()


def _public_key(text: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(_bytes(text))


def _bytes(text: str) -> bytes:
    """Return what base64 stands for, if it is written in its one proper way."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError("base64 with bits that stand for nothing")
    return found


def _digests(path: Path, sizes: Sequence[int]) -> list[str]:
    """Return the SHA-256 of so many bytes each, one after the other, from the file's start."""
    found = []
    with path.open("rb") as handle:
        for size in sizes:
            digest, left = hashlib.sha256(), size
            while left and (block := handle.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
            found.append(digest.hexdigest())
    return found


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
