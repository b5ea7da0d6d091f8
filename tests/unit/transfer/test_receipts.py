"""The receipt: signed over every byte of what it says, by one key however many processes start together."""

import base64
import json
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from kspace.errors import BadInput
from kspace.records import Part, SourceFile
from transfer.destinations import Proof
from transfer.receipts import Signer, check_receipt, compare, write_receipt
from transfer.records import Capture, RawDelivery
from transfer.states import CaptureState, DeliveryState

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAPTURE = Capture(
    id=7, state=CaptureState.PLANNED, scanner="prisma", source="prisma/1",
    file=SourceFile(path="doe_jane/meas.dat", size=20_000, mtime_ns=5), changed_at=AT, since_at=AT, as_is=False,
    audit=None, measurements=(), sha256="ab" * 32, manifest=b"{}", match=None,
)  # fmt: skip
DELIVERY = RawDelivery(
    id=3, state=DeliveryState.SENT, destination="central", project="heart", capture=CAPTURE, parts=(),
    experiment="E1", place="/data/experiments/E1/resources/KSPACE",
)  # fmt: skip
PROOFS = {"part-00001.bin": Proof(digest="cd" * 16, how="md5"), "manifest.json": Proof(digest="ef" * 16, how="md5")}


@pytest.fixture(scope="session")
def signer(tmp_path_factory) -> Signer:
    return Signer(tmp_path_factory.mktemp("key") / "relay.pem")


@pytest.fixture(scope="session")
def receipt(signer) -> bytes:
    return write_receipt(DELIVERY, PROOFS, folder="0000007-abababababab", at=AT, signer=signer)


def test_it_says_what_was_proved_where_and_when(receipt, signer):
    said = check_receipt(receipt, public_key=signer.public_key)
    assert said["source"] == {"size": 20_000, "sha256": "ab" * 32}
    assert (said["destination"], said["project"], said["place"]) == ("central", "heart", DELIVERY.place)
    assert said["verified_at"] == "2026-03-01T12:00:00+00:00"
    assert said["files"]["part-00001.bin"] == {"digest": "cd" * 16, "how": "md5"}


def test_it_holds_no_name_of_a_file_that_may_name_a_patient(receipt):
    assert b"doe" not in receipt


def test_the_same_proof_gives_the_same_receipt(receipt, signer):
    again = write_receipt(DELIVERY, PROOFS, folder="0000007-abababababab", at=AT, signer=signer)
    assert again == receipt


def test_any_changed_value_breaks_the_signature(receipt):
    signed = json.loads(receipt)
    for key, value in signed["receipt"].items():
        changed = signed | {"receipt": signed["receipt"] | {key: f"{value}x"}}
        with pytest.raises(BadInput, match="changed"):
            check_receipt(json.dumps(changed).encode())
    for key in signed["receipt"]:
        less = signed | {"receipt": {k: v for k, v in signed["receipt"].items() if k != key}}
        with pytest.raises(BadInput):
            check_receipt(json.dumps(less).encode())
    with pytest.raises(BadInput):
        check_receipt(json.dumps(signed | {"receipt": signed["receipt"] | {"more": 1}}).encode())


def test_any_changed_byte_is_refused(receipt):
    for at in range(len(receipt)):
        for bit in (1, 32, 128):
            with pytest.raises(BadInput, match="no receipt"):
                check_receipt(receipt[:at] + bytes([receipt[at] ^ bit]) + receipt[at + 1 :])


def test_a_byte_more_or_less_is_refused_but_for_the_end_of_the_last_line(receipt):
    assert check_receipt(receipt + b"\n") == check_receipt(receipt)
    for changed in (receipt[:-1], b" " + receipt, receipt + b" ", receipt.replace(b"\n", b"\n ", 1)):
        with pytest.raises(BadInput, match="changed"):
            check_receipt(changed)


def test_a_later_version_is_told(signer):
    said = {"format": "kspace-receipt", "version": 9}
    signature = signer.sign(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    signed = {"receipt": said, "signature": signature, "public_key": signer.public_key}
    with pytest.raises(BadInput, match="later version"):
        check_receipt(json.dumps(signed, sort_keys=True, indent=1).encode())


@pytest.mark.parametrize(
    "odd",
    [
        {"source": {"size": "1", "sha256": "ab"}},
        {"source": None},
        {"destination": "\x1b[2Jcentral"},
        {"place": 7},
        {"files": []},
        {"files": {"part-00001.bin": {"size": 1}}},
    ],
)
def test_a_receipt_that_a_stranger_signed_is_shown_only_if_it_is_complete(receipt, signer, odd):
    said = json.loads(receipt)["receipt"] | odd
    signature = signer.sign(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    signed = {"receipt": said, "signature": signature, "public_key": signer.public_key}
    with pytest.raises(BadInput, match="no receipt"):
        check_receipt(json.dumps(signed, sort_keys=True, indent=1).encode())


def test_a_receipt_signed_by_somebody_else_is_refused_where_the_key_is_known(receipt, signer, tmp_path):
    other = Signer(tmp_path / "other.pem")
    forged = write_receipt(DELIVERY, PROOFS, folder="0000007-abababababab", at=AT, signer=other)
    check_receipt(forged)
    with pytest.raises(BadInput):
        check_receipt(forged, public_key=signer.public_key)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"receipt": {}, "signature": "", "public_key": ""}',
        b'{"receipt": {}, "signature": 1, "public_key": 2}',
    ],
)
def test_what_is_no_receipt_is_refused(document):
    with pytest.raises(BadInput, match="no receipt"):
        check_receipt(document)


def test_a_known_key_that_is_none_is_refused(receipt):
    for key in ("", "short", "é", base64.b64encode(b"x" * 31).decode()):
        with pytest.raises(BadInput):
            check_receipt(receipt, public_key=key)


def test_the_key_is_made_once_for_the_relays_account_only(tmp_path):
    one, other = Signer(tmp_path / "keys/relay.pem"), Signer(tmp_path / "keys/relay.pem")
    assert one.public_key == other.public_key
    assert stat.S_IMODE((tmp_path / "keys/relay.pem").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["relay.pem"]


@pytest.mark.parametrize("text", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key_is_named_and_kept(tmp_path, text):
    (tmp_path / "relay.pem").write_bytes(text)
    with pytest.raises(BadInput, match="no Ed25519 key"):
        Signer(tmp_path / "relay.pem")
    assert (tmp_path / "relay.pem").read_bytes() == text


def test_processes_that_start_together_get_one_key(tmp_path):
    program = (
        "import sys\nfrom pathlib import Path\nfrom transfer.receipts import Signer\n"
        "print('ready', flush=True)\nsys.stdin.readline()\nprint(Signer(Path(sys.argv[1])).public_key)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "relay.pem")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    keys = {process.communicate()[0].strip() for process in started}
    assert len(keys) == 1
    assert keys == {Signer(tmp_path / "relay.pem").public_key}


def test_a_file_is_compared_by_sha256_whatever_digest_the_archive_has(signer, tmp_path):
    data = [b"first part", b"second"]
    parts = tuple(
        Part(number=n, name=f"part-0000{n}.bin", offset=0, size=len(d), md5="", sha256=sha256(d).hexdigest())
        for n, d in enumerate(data, start=1)
    )
    capture = replace(CAPTURE, sha256=sha256(b"original").hexdigest(), file=replace(CAPTURE.file, size=8))
    delivery = replace(DELIVERY, capture=capture, parts=parts)
    proofs = {f"f/{part.name}": Proof(digest="etag:0123-2", how="its ETag") for part in parts}
    said = check_receipt(write_receipt(delivery, proofs, folder="f", at=AT, signer=signer))
    for content, found in ((b"original", "original"), (b"".join(data), "packed"), (data[1], "part-00002.bin")):
        (tmp_path / "file").write_bytes(content)
        assert found in compare(said, tmp_path / "file")
        (tmp_path / "file").write_bytes(content[:-1] + b"x")
        with pytest.raises(BadInput, match="is not what this receipt is for"):
            compare(said, tmp_path / "file")
