"""What became of each file, judged by the archive's own disk and by fetching it back; and what it cost."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from tests.campaign.line import Exchange
from tests.campaign.plan import CUTS, Fault
from tests.campaign.world import World
from transfer.app.wiring import Box
from transfer.catalog import lists, tables
from transfer.catalog.loading import load_delivery
from transfer.destinations.xnat import Xnat
from transfer.restore import restore
from transfer.stages.send import folder_of
from transfer.states import DeliveryState

_ALONE = "run it alone: python -m tests.campaign --seeds {seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one interruption cost; bytes are those of bodies as they crossed the line."""

    fault: Fault
    interruptions: int
    """Exchanges about this file that were not answered in full and with success: as a rule the planned one alone."""
    part: int
    """The largest body sent for this file."""
    sent_again: int
    read_again: int
    lost_s: float
    """From the interruption to the next exchange about this file that went well; other files may have been sent."""

    @property
    def most(self) -> float:
        """Bytes sent again in one interruption, in parts."""
        return self.sent_again / self.part / max(1, self.interruptions)


def cost_of(fault: Fault, exchanges: Iterable[Exchange]) -> Cost:
    """Reckon what one file's interruption cost."""
    own = [e for e in exchanges if e.seed == fault.seed]
    hit = next(e for e in own if e.hit_at is not None)
    sent, got = defaultdict(list), defaultdict(list)
    for one in own:
        (sent if one.method == "PUT" else got)[one.name].append(one.sent if one.method == "PUT" else one.got)
    after = [e.ended_at for e in own if e.is_good and e.ended_at > hit.hit_at]
    return Cost(
        fault=fault,
        interruptions=sum(not e.is_good for e in own),
        part=max(e.size for e in own if e.method == "PUT"),
        sent_again=sum(sum(all_) - max(all_) for all_ in sent.values()),
        read_again=sum(sum(all_) - max(all_) for all_ in got.values()),
        lost_s=min(after) - hit.hit_at,
    )


def judge(world: World, box: Box) -> list[Cost]:
    """Return what each interruption cost, having seen that every file is verified, whole and there once.

    Raises:
        AssertionError: one is not, with the command that runs its seed alone.
    """
    assert not world.line.left, f"never played: {[str(fault) for fault in world.line.left]}"
    assert "stage.broke" not in world.log
    assert "Traceback" not in world.log, world.log[-3000:]
    exchanges, stored = list(world.line.exchanges), world.archive_files()
    clashed = {e.seed for e in exchanges if e.status == HTTPStatus.INTERNAL_SERVER_ERROR}
    assert clashed <= {e.seed for e in exchanges if not e.is_whole}, "two writers in one resource, and nothing broke"
    with box.database.read() as connection:
        d = tables.delivery.c
        lanes = connection.execute(select(d.study_id, d.destination, d.lane).distinct()).all()
        assert len(lanes) == len({lane[:2] for lane in lanes}), "images and raw data of a study have two lanes"
    costs, archive = [], box.archives()["central"]
    for fault in world.faults:
        try:
            _is_safe(world, box, archive, fault, stored)
            costs.append(cost_of(fault, exchanges))
            assert costs[-1].sent_again <= costs[-1].part * costs[-1].interruptions, costs[-1]
        except AssertionError as error:
            raise AssertionError(f"{fault}: {error}; {_ALONE.format(seed=fault.seed)}") from error
    return costs


def _is_safe(world: World, box: Box, archive: Xnat, fault: Fault, stored: dict[str, Path]) -> None:
    """Compare every part on the archive's disk with what was planned, and fetch the file back."""
    raw, d = world.raws[fault.seed], tables.delivery.c
    with box.database.read() as connection:
        (capture_id,) = (r["id"] for r in lists.captures(connection, limit=10_000) if r["sha256"] == raw.sha256)
        own = select(d.id).where(d.capture_id == capture_id, d.state == DeliveryState.VERIFIED)
        delivery = load_delivery(connection, connection.execute(own).scalar_one())
        receipts = select(func.count()).where(tables.receipt.c.delivery_id == delivery.id)
        assert connection.execute(receipts).scalar() == 1, "it has not one receipt"
    folder = folder_of(delivery)
    parts = [f"{folder}/{part.name}" for part in delivery.parts]
    documents = [f"{folder}/{name}.json" for name in ("delivery", "manifest", "receipt")]
    assert {name for name in stored if name.startswith(folder)} == {*parts, *documents}, "other files are there"
    for name, part in zip(parts, delivery.parts, strict=True):
        assert hashlib.sha256(stored[name].read_bytes()).hexdigest() == part.sha256, "the disk holds other bytes"
    back = world.folder / "back.dat"
    restore(archive, place=delivery.place, folder=folder, sha256_expected=raw.sha256, target=back)
    assert hashlib.sha256(back.read_bytes()).hexdigest() == raw.sha256, "other bytes came back"
    back.unlink()


def uploads_cut(costs: Iterable[Cost]) -> str:
    """Return what the cuts and resets of uploads cost: those that other clients are measured by as well."""
    again = [c.sent_again / c.part for c in costs if c.fault.kind in CUTS and c.fault.method == "PUT"]
    if not again:
        return ""
    mean = sum(again) / len(again)
    return f"Uploads cut or reset: {len(again)}; sent again, parts: mean {mean:.2f}, most {max(again):.2f}"


def table(costs: Sequence[Cost], *, times: bool) -> str:
    """Return the table of a campaign, as Markdown; ``times`` say something only where a file waits for no other."""
    kinds = defaultdict(list)
    for cost in sorted(costs, key=lambda cost: cost.fault.seed):
        kinds[cost.fault.kind].append(cost)
    columns = ["interruption", "files", "breaks", "sent again, parts: mean", "most in one", "read back again: mean"]
    columns += ["time lost, s: median", "most"] if times else []
    rows = [columns, ["---"] * len(columns)]
    rows += [_row(kind, of_kind, times=times) for kind, of_kind in [*kinds.items(), ("all", costs)]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(name: str, costs: Sequence[Cost], *, times: bool) -> list[str]:
    again = sum(c.sent_again / c.part for c in costs) / len(costs)
    read = sum(c.read_again / c.part for c in costs) / len(costs)
    most = max(c.most for c in costs)
    row = [
        name,
        str(len(costs)),
        str(sum(c.interruptions for c in costs)),
        f"{again:.2f}",
        f"{most:.2f}",
        f"{read:.2f}",
    ]
    lost = [c.lost_s for c in costs]
    return row + ([f"{median(lost):.1f}", f"{max(lost):.1f}"] if times else [])
