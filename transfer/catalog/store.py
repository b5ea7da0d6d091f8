"""Claim, renew, commit: the engine's whole dealing with the catalog.

A row is claimed under a lease in its lane; "in progress" is that lease, never a state, so a crash needs no repair.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, RowMapping, Table, and_, exists, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from kspace.clock import Clock
from kspace.errors import DestinationError, FileVanished, KspaceError, Retry, SpoolDamaged
from transfer.catalog import tables
from transfer.catalog.database import Database
from transfer.catalog.loading import load_capture, load_delivery
from transfer.catalog.notices import RELAY, clear_alert, note, raise_alert
from transfer.catalog.recapturing import capture_again
from transfer.catalog.saving import save, unend
from transfer.catalog.twins import recognised, wake_twins
from transfer.records import Done, Held, Later, Outcome, Record, SendAgain
from transfer.states import LOST_CODES, STAGE_OF, TRANSITIONS, CaptureState, DeliveryState, Kind

LEASE_S = 120.0
MAX_ATTEMPTS = 10
"""Claims in a row that ended without any outcome: a stage that kills its process ends up HELD."""
MAX_FAILURES = 12
_LONGEST_PAUSE_S = 3600.0
_LONGEST_BACKOFF_S = 3600.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claim:
    """A row held for a time, its record, the stage to run on it, and the proof of holding it."""

    kind: Kind
    id: int
    stage: str
    token: str
    due_at: datetime
    record: Record


class Store:
    """The queue in the catalog, as one machine sees it."""

    def __init__(self, database: Database, *, clock: Clock, machine: str, backoff_s: float = 5.0) -> None:
        self._database = database
        self._clock = clock
        self._machine = machine
        self._backoff_s = backoff_s

    def claim(
        self,
        table_name: str,
        *,
        but_not: Collection[str] = (),
        row_id: int | None = None,
        to: str | None = None,
        not_to: Collection[str] = (),
    ) -> Claim | None:
        """Take the row of the highest priority that is due longest, if any; stages in ``but_not`` are left alone.

        Of deliveries: those ``to`` one destination (None: to any), and none ``not_to`` others.

        With ``row_id`` take this row, due or not, if its lane is free and nothing it relies on is paused.
        Whoever claims owes a `commit` or a `fail`; until then the lease must be renewed.
        """
        table = tables.metadata.tables[table_name]
        token, now = secrets.token_hex(16), self._clock.now()
        try:
            with self._database.write() as connection:
                connection.execute(
                    update(table).where(table.c.lease_until < now).values(lease_token=None, lease_until=None)
                )
                ways = _ways(table, to, not_to)
                row = self._next(connection, table, but_not, now, row_id=row_id, ways=ways)
                if row is None:
                    return None
                if row["attempts"] >= MAX_ATTEMPTS:
                    self._hold(connection, table, row, _WORN_OUT, "worn_out", now)
                    return None
                connection.execute(
                    update(table)
                    .where(table.c.id == row["id"])
                    .values(
                        lease_token=token,
                        lease_owner=self._machine,
                        lease_until=now + timedelta(seconds=LEASE_S),
                        machine=self._machine,
                        attempts=table.c.attempts + 1,
                    )
                )
                kind = _kind(table, row)
                load = load_capture if kind is Kind.CAPTURE else load_delivery
                record = load(connection, row["id"])
        except IntegrityError:
            return None  # another machine took the lane between the two statements
        return Claim(
            kind=kind, id=row["id"], stage=STAGE_OF[kind, _state(row)], token=token, due_at=row["due_at"], record=record
        )

    def renew(self, claim: Claim, *, progressed: bool = False) -> bool:
        """Prolong the lease; False: it is lost, and so is whatever the stage is doing. Progress resets attempts."""
        table = _table(claim.kind)
        values: dict[str, Any] = {"lease_until": self._clock.now() + timedelta(seconds=LEASE_S)}
        if progressed:
            values["attempts"] = 0
        with self._database.write() as connection:
            renewed = connection.execute(update(table).where(_held_by(table, claim)).values(values))
            return renewed.rowcount == 1

    def commit(self, claim: Claim, outcome: Outcome) -> bool:
        """Write the outcome and give the row back; False: the lease was lost and nothing is written."""
        table, now = _table(claim.kind), self._clock.now()
        with self._database.write() as connection:
            row = connection.execute(select(table).where(_held_by(table, claim)).with_for_update()).mappings().first()
            if row is None:
                _log.warning("lease.lost", kind=claim.kind, id=claim.id, stage=claim.stage)
                return False
            if _state(row) is not claim.record.state:  # re-opened meanwhile by an arrival: the result is about the past
                self._give_back(connection, table, row, {})
                return False
            outcome = recognised(outcome, connection, row)
            is_woken = row["due_at"] != claim.due_at  # what it waits for came while the stage was running
            match outcome:
                case _ if is_woken and claim.stage == "join":  # judged without what came: at its time once more
                    self._give_back(connection, table, row, {})
                case Done(SendAgain(reason)) if row["failures"] + 1 >= MAX_FAILURES:
                    self._hold(connection, table, row, f"Sent {MAX_FAILURES} times in vain: {reason}", "not_held", now)
                case Done(result):
                    columns = save(result, connection, row, now)
                    self._move(
                        connection, table, row, result.state, columns, now, detail=getattr(result, "said", claim.stage)
                    )
                    self._end_pauses(connection, claim, row, now)
                case Later(reason, after_s):
                    due_at = now if is_woken else now + timedelta(seconds=after_s)
                    self._give_back(connection, table, row, {"reason": reason, "due_at": due_at, "failures": 0})
                case Held(reason, SpoolDamaged.code) if capture_again(connection, row, reason, now):
                    self._give_back(connection, table, row, {})
                case Held(reason, code):
                    self._hold(connection, table, row, reason, code, now)
        _log.info("stage.committed", kind=claim.kind, id=claim.id, stage=claim.stage, outcome=type(outcome).__name__)
        return True

    def fail(self, claim: Claim, error: KspaceError, *, progressed: bool = False) -> bool:
        """Write a failure and give the row back: what happens next is the error class's to say.

        After progress that stays it counts as the first: a long delivery on a line that breaks often is neither given
        up nor kept waiting longer each time, as long as it gets further.
        """
        if error.retry is Retry.PERSON:
            return self.commit(claim, Held(str(error), error.code))
        table, now = _table(claim.kind), self._clock.now()
        with self._database.write() as connection:
            row = connection.execute(select(table).where(_held_by(table, claim)).with_for_update()).mappings().first()
            if row is None:
                return False
            if _state(row) is not claim.record.state:  # held or re-opened meanwhile: the failure is about the past
                self._give_back(connection, table, row, {})
                return False
            failures = 1 if progressed else row["failures"] + 1
            if error.pauses:
                what = _culprit(error, claim, row, self._machine)
                if progressed or not error.may_be_its_own or _is_paused(connection, what):
                    failures = row["failures"]
                if failures < MAX_FAILURES:
                    until_at = self._pause(connection, what, error, now, is_first=progressed)
                    columns = {"reason": str(error), "failures": failures, "due_at": until_at}
                    self._give_back(connection, table, row, columns)
                    return True
            if failures >= MAX_FAILURES:
                self._hold(connection, table, row, _gave_up(error, failures), error.code, now)
                return True
            wait_s = 0.0 if error.retry is Retry.NOW else min(self._backoff_s * 2**failures, _LONGEST_BACKOFF_S)
            columns = {"reason": str(error), "failures": failures, "due_at": now + timedelta(seconds=wait_s)}
            self._give_back(connection, table, row, columns)
        return True

    def free_leases(self) -> int:
        """Free the leases of this machine's earlier life; to be called before the first claim."""
        freed = 0
        with self._database.write() as connection:
            for table in (tables.capture, tables.delivery):
                mine = and_(table.c.lease_owner == self._machine, table.c.lease_token.is_not(None))
                freed += connection.execute(
                    update(table).where(mine).values(lease_token=None, lease_until=None)
                ).rowcount
        return freed

    def _next(  # noqa: PLR0913 -- the conditions
        self,
        connection: Connection,
        table: Table,
        but_not: Collection[str],
        now: datetime,
        *,
        row_id: int | None,
        ways: Any,  # noqa: ANN401 -- an SQL expression
    ) -> RowMapping | None:
        c, other = table.c, table.alias("other")
        steps = [(k, s) for (k, s), stage in STAGE_OF.items() if stage not in but_not and _table(k) is table]
        states = or_(*(and_(c.state == s, c.kind == k) if "kind" in c else c.state == s for k, s in steps))
        busy = exists().where(other.c.lane == c.lane, other.c.lease_token.is_not(None))
        query = (
            select(table)
            .where(c.due_at <= now if row_id is None else c.id == row_id, c.lease_token.is_(None), states, ~busy, ways)
            .where(or_(c.machine.is_(None), c.machine == self._machine), ~self._paused(table, now))
            .order_by(c.priority.desc(), c.due_at, c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return connection.execute(query).mappings().first()

    def _paused(self, table: Table, now: datetime) -> Any:  # noqa: ANN401 -- an SQL expression
        p = tables.pause.c
        if table is tables.delivery:
            destination, project = table.c.destination, table.c.project
            whole, part = literal("destination:") + destination, literal("project:") + destination + "/" + project
            return exists().where(p.what.in_([whole, part]), p.until_at > now)
        f = tables.source_file.c
        of_source = exists().where(
            f.id == table.c.source_file_id, p.what == literal("source:") + f.source, p.until_at > now
        )
        of_spool = exists().where(p.what == f"spool:{self._machine}", p.until_at > now)
        reads_source = table.c.state.in_([CaptureState.FOUND, CaptureState.SETTLED])
        return or_(and_(reads_source, of_source), and_(table.c.state == CaptureState.SETTLED, of_spool))

    def _pause(
        self, connection: Connection, what: str, error: KspaceError, now: datetime, *, is_first: bool
    ) -> datetime:
        p = tables.pause.c
        failures = 0 if is_first else connection.execute(select(p.failures).where(p.what == what)).scalar() or 0
        first_s = error.pause_s or self._backoff_s * 2
        pause_s = max(first_s, min(first_s * 2 ** min(failures, 32), _LONGEST_PAUSE_S))
        until_at = now + timedelta(seconds=pause_s)
        values = {"what": what, "until_at": until_at, "reason": str(error), "failures": failures + 1}
        if connection.execute(update(tables.pause).where(p.what == what).values(values)).rowcount == 0:
            self._database.insert_new(connection, tables.pause, values)
        raise_alert(connection, key=f"pause:{what}", severity="warning", text=str(error), at=now)
        return until_at

    def _end_pauses(self, connection: Connection, claim: Claim, row: RowMapping, now: datetime) -> None:
        for what in _relied_on(claim, row, self._machine):
            p = tables.pause
            if connection.execute(p.delete().where(p.c.what == what)).rowcount:
                clear_alert(connection, key=f"pause:{what}", at=now)

    def _move(  # noqa: PLR0913, PLR0917 -- one place where states change
        self,
        connection: Connection,
        table: Table,
        row: RowMapping,
        after: CaptureState | DeliveryState,
        columns: dict[str, Any],
        now: datetime,
        *,
        detail: str,
    ) -> None:
        before = _state(row)
        if after not in TRANSITIONS[type(before)][before]:
            raise AssertionError(f"{table.name} {row['id']}: {before} -> {after} is no transition")
        values = {"state": after, "since_at": now, "due_at": now, "failures": 0} | columns
        self._give_back(connection, table, row, values)
        note(
            connection,
            at=now,
            actor=RELAY,
            subject=table.name,
            subject_id=row["id"],
            verb=f"{table.name}.{after}",
            before=before,
            after=after,
            detail=detail,
        )

    def _hold(  # noqa: PLR0913, PLR0917 -- one place where work is held
        self, connection: Connection, table: Table, row: RowMapping, reason: str, code: str, now: datetime
    ) -> None:
        held = CaptureState.HELD if table is tables.capture else DeliveryState.HELD
        columns = {"reason": reason, "held_from": row["state"], "held_code": code}
        if row["state"] == DeliveryState.VERIFIED:
            unend(connection, row["capture_id"], now)
        self._move(connection, table, row, held, columns, now, detail=reason)
        of_capture = row["id"] if table is tables.capture else row["capture_id"]
        if code in LOST_CODES and of_capture is not None:
            wake_twins(connection, of_capture, now)
        severity = "critical" if code in {"lost", FileVanished.code} else "warning"
        raise_alert(connection, key=f"{table.name}:{row['id']}", severity=severity, text=reason, at=now)

    def _give_back(self, connection: Connection, table: Table, row: RowMapping, values: dict[str, Any]) -> None:
        freed = {"lease_token": None, "lease_until": None, "attempts": 0}
        connection.execute(update(table).where(table.c.id == row["id"]).values(freed | values))


_WORN_OUT = (
    f"The stage ended {MAX_ATTEMPTS} times without an answer, most likely with the whole process; the data are safe "
    "where they were. Look at the log, then retry."
)


def _table(kind: Kind) -> Table:
    return tables.capture if kind is Kind.CAPTURE else tables.delivery


def _ways(table: Table, to: str | None, not_to: Collection[str]) -> Any:  # noqa: ANN401 -- an SQL expression
    if table is not tables.delivery:
        return literal(True)
    destination = table.c.destination
    return and_(destination == to if to is not None else literal(True), destination.not_in(not_to))


def _kind(table: Table, row: RowMapping) -> Kind:
    return Kind.CAPTURE if table is tables.capture else Kind(row["kind"])


def _state(row: RowMapping) -> CaptureState | DeliveryState:
    return DeliveryState(row["state"]) if "destination" in row else CaptureState(row["state"])


def _held_by(table: Table, claim: Claim) -> Any:  # noqa: ANN401 -- an SQL expression
    return and_(table.c.id == claim.id, table.c.lease_token == claim.token)


def _culprit(error: KspaceError, claim: Claim, row: RowMapping, machine: str) -> str:
    if error.code.startswith("spool"):
        return f"spool:{machine}"
    if claim.kind is Kind.CAPTURE:
        return f"source:{claim.record.source}"  # type: ignore[union-attr]
    whole, part = _relied_on(claim, row, machine)
    return part if isinstance(error, DestinationError) and error.of_project else whole


def _is_paused(connection: Connection, what: str) -> bool:
    """Return whether nothing got through since the pause began, be its time over or not."""
    return connection.execute(select(tables.pause.c.what).where(tables.pause.c.what == what)).first() is not None


def _gave_up(error: KspaceError, failures: int) -> str:
    if error.pauses:
        what = str(error).partition(". ")[0]
        return f"{what}: so {failures} times, while others got through. Nothing was deleted; see to it, then retry."
    return f"Gave up after {failures} tries; nothing was deleted, retry when the cause is gone: {error}"


def _relied_on(claim: Claim, row: RowMapping, machine: str) -> list[str]:
    if claim.kind is not Kind.CAPTURE:
        return [f"destination:{row['destination']}", f"project:{row['destination']}/{row['project']}"]
    spool = [f"spool:{machine}"] if claim.stage == "pack" else []
    return [f"source:{claim.record.source}", *spool] if claim.stage in {"settle", "pack"} else []  # type: ignore[union-attr]
