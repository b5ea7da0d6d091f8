"""QUEUED -> SENT, raw: what the archive does not show to hold already, the manifest last."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from kspace.errors import SpoolDamaged, SpoolError
from kspace.manifest import read_manifest
from transfer.destinations import Body, RawArchive, Stored
from transfer.destinations.errors import NotHeld, TooLarge
from transfer.destinations.imaging import DicomArchive
from transfer.records import CutAgain, Done, Held, Later, Looked, Match, Outcome, RawDelivery, Sent
from transfer.routing import Route, session_name
from transfer.selection import privacy_hold
from transfer.stages.cutting import cut_parts
from transfer.stages.sorting import Astray, agreed
from transfer.states import CaptureState
from transfer.wishes import Rule

_BLOCK = 1 << 18
"""The block size at which httpx is as fast as curl (docs/design/container.md)."""


def send(  # noqa: PLR0913 -- the ports
    delivery: RawDelivery,
    *,
    archive: RawArchive,
    spool: Path,
    rules: Sequence[Rule],
    routes: Sequence[Route],
    part_bytes: int,
    progress: Callable[[], None],
) -> Outcome:
    """Send what is missing. Doing it twice equals doing it once; a 200 is never taken for "stored".

    Raises:
        Astray: it is not certain that its study belongs to the project.
        DestinationError: as its class says.
        SpoolDamaged: the packed file is not what was planned.
        SpoolError: the disk does not give it.
    """
    match = delivery.capture.match
    if match is None:
        raise AssertionError("a planned delivery has a match")
    capture = delivery.capture
    hold = privacy_hold(
        rules,
        capture.measurements,
        scanner=capture.scanner,
        project=delivery.project,
        is_read_to_the_end=capture.is_read_to_the_end,
    )
    if hold is not None:
        return Held(hold, "privacy")
    _demand_project(delivery, match, routes, is_alone=not isinstance(archive, DicomArchive))
    session = delivery.experiment if isinstance(archive, DicomArchive) else session_name(match.study_uid)
    if session is None:
        return Later("Waits until the session's DICOM is in the archive.", 600.0)
    series = delivery.alias or match.series_uid
    place = archive.open_place(project=delivery.project, experiment=session, series_uid=series)
    files = files_of(delivery, spool=spool)
    there = _there(archive, place, files)
    if delivery.found_at != place:  # noted before anything is sent there, so that it is known for ever who sent what
        return Done(Looked(frozenset(there), place))
    there -= delivery.doubted
    for name, body in files.items():
        if name in there:
            continue
        if capture.state is CaptureState.RETIRED and _is_part(name) and not (spool / capture.spooled).exists():
            try:
                archive.prove(place, {name: body}, afresh=True)  # somebody may have put it back there
            except NotHeld:
                return Held(_LOST.format(destination=delivery.destination), "lost")
            continue
        try:
            archive.put(place, name, body, progress=progress)
        except TooLarge:
            return _smaller(delivery, name, body, spool=spool, part_bytes=part_bytes, progress=progress)
    return Done(Sent(place))


def _demand_project(delivery: RawDelivery, match: Match, routes: Sequence[Route], *, is_alone: bool) -> None:
    """Raise where the study does not go to this project; where no images go (``is_alone``) its series are asked here.

    Elsewhere the session is there only after its images were judged the same way.
    """
    is_there = (delivery.destination, delivery.project) in match.targets
    if is_alone and delivery.assigned_by is None:
        is_there &= agreed(delivery.heads, routes, destination=delivery.destination).project == delivery.project
    if not is_there:
        raise Astray(
            f"The study of these raw data goes to another project than {delivery.project} by now. Nothing more is "
            "sent, all is safe in the spool. See `kspace study`, and say with `kspace assign` where it goes."
        )


_LOST = (
    "{destination} does not hold all of this capture any more (lost or altered there after the receipt), and the "
    "spool was freed since. What `kspace show` names as verified elsewhere is whole; without such a copy {destination} "
    "had the only one: ask for its backup, then retry; and look whether the scanner still has the file: exported once "
    "more, it is captured anew."
)


def _there(archive: RawArchive, place: str, files: Mapping[str, Body]) -> set[str]:
    """Return what need not be sent: the archive lists our digest, or has none and shows the bytes in another way."""
    listed = archive.listing(place)
    there = {name for name, body in files.items() if listed.get(name) == Stored(size=body.size, md5=body.md5)}
    unsure = {name: body for name, body in files.items() if listed.get(name) == Stored(size=body.size, md5=None)}
    if unsure:
        try:
            archive.prove(place, unsure)
        except NotHeld as error:
            there.update(unsure.keys() - error.names if error.names else ())
        else:
            there.update(unsure)
    return there


def _smaller(  # noqa: PLR0913 -- the refused file and what a new cut needs
    delivery: RawDelivery, name: str, body: Body, *, spool: Path, part_bytes: int, progress: Callable[[], None]
) -> Outcome:
    """Cut the same chunks into smaller parts: at most half of what was refused, and at most what is known to pass."""
    capture = delivery.capture
    chunks = read_manifest(capture.manifest or b"").chunks
    largest = max((c.stored_bytes for c in chunks), default=0)
    if not _is_part(name) or body.size <= largest:
        return Held(
            f"{delivery.destination}, or a proxy before it, refuses {body.size:,} bytes in one request (413), and "
            f"{name.partition('/')[2]} cannot be cut smaller. The data are safe in the spool. Raise the limit there "
            "(nginx: client_max_body_size), then retry.",
            "too_large",
        )
    limit = min(part_bytes, body.size // 2)
    return Done(CutAgain(cut_parts(spool / capture.spooled, chunks, part_bytes=limit, progress=progress), limit))


def _is_part(name: str) -> bool:
    return name.endswith(".bin")


def files_of(delivery: RawDelivery, *, spool: Path) -> dict[str, Body]:
    """Return every file of a delivery by its name at the place, in the order of sending: the manifest is last."""
    folder = folder_of(delivery)
    packed = spool / delivery.capture.spooled
    files = {
        f"{folder}/{p.name}": Body(
            size=p.size, md5=p.md5, sha256=p.sha256, blocks=partial(_range, packed, p.offset, p.size, p.sha256)
        )
        for p in delivery.parts
    }
    files[f"{folder}/delivery.json"] = Body.of(_delivery_document(delivery))
    files[f"{folder}/manifest.json"] = Body.of(delivery.capture.manifest or b"")
    return files


def receipt_of(delivery: RawDelivery, receipt: bytes | None) -> dict[str, Body]:
    """Return the receipt by its name at the place, if there is one; it is sent when all else is proved."""
    return {} if receipt is None else {f"{folder_of(delivery)}/receipt.json": Body.of(receipt)}


def folder_of(delivery: RawDelivery) -> str:
    """Return the capture's folder: fixed width, since XNAT deletes by prefix; named by content, so never shared."""
    image = delivery.capture.image
    mid = (image.mid if image else None) or 0
    return f"{mid:07d}-{(delivery.capture.sha256 or '')[:12]}"


def _delivery_document(delivery: RawDelivery) -> bytes:
    capture, match = delivery.capture, delivery.capture.match
    document = {
        "format": "kspace-delivery",
        "version": 1,
        "source": {"size": capture.file.size, "sha256": capture.sha256},
        "study_uid": match and match.study_uid,
        "series_uid": match and match.series_uid,
        "certainty": match and match.certainty,
        "why": match and match.reason,
        "parts": [{"name": p.name, "size": p.size, "md5": p.md5, "sha256": p.sha256} for p in delivery.parts],
        "manifest_sha256": sha256(capture.manifest or b"").hexdigest(),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _range(packed: Path, offset: int, size: int, digest: str) -> Iterator[bytes]:
    seen, left = sha256(), size
    try:
        with packed.open("rb") as handle:
            handle.seek(offset)
            while left and (block := handle.read(min(_BLOCK, left))):
                seen.update(block)
                left -= len(block)
                if not left and seen.hexdigest() != digest:
                    break  # the last block is kept back, so a damaged part can never look complete
                yield block
    except OSError as error:
        raise SpoolError("The packed file cannot be read; the relay tries again by itself.") from error
    if left or seen.hexdigest() != digest:
        raise SpoolDamaged("The packed file in the spool is not what was packed; nothing of it is sent. See that disk.")
