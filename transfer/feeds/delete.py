"""Deleting at a source what every archive proved to hold, where the site consented: `docs/howto/sources.md`.

A file goes only if all of this is so, asked anew right before: each delivery of it is verified, with a receipt of this
relay's own key for just these bytes, older than the hold time; each archive proves now, from the bytes as they lie
there, that it still holds it; the file at the source, read once more, has this digest; the catalog says that it goes
from here on. What is not so leaves the file where it is, with the reason in the journal.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from kspace.clock import Clock
from kspace.errors import BadInput, FileUnreadable, KspaceError
from kspace.records import SourceFile
from kspace.sources.deleting import Deleter
from kspace.sources.share import ASIDE
from transfer.catalog.database import Database
from transfer.catalog.deletions import Step, Wish, ask_for, deleted_today, move, wishes
from transfer.catalog.notices import RELAY
from transfer.catalog.receipted import Lying, Receipted, lying, was_clock_set_back
from transfer.receipts import check_receipt
from transfer.states import DeliveryState

_NOT_NOW_S = 3600.0
_KEPT_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a site consented to for one source; ``is_own``: the relay serves the folder itself, so nobody approves."""

    source: str
    machine: str
    public_key: str
    hold_s: float
    files_per_day: int
    bytes_per_day: float
    is_own: bool = False


class _Unproved(KspaceError):
    """Something is not as it has to be; the file stays."""


class _NotNow(KspaceError):
    """The scanner may not be read now, or an archive cannot be asked: the wish waits."""


def judged(
    connection: Connection, terms: Terms, *, now: datetime, capture_id: int | None = None
) -> list[tuple[Lying, str | None]]:
    """Return what lies at the source, each file with why it may not go; None: by all that is written down it may."""
    is_set_back = was_clock_set_back(connection, now)
    files = lying(connection, terms.source, capture_id=capture_id)
    return [(file, _SET_BACK if is_set_back else why_not(file, terms, now=now)) for file in files]


def why_not(file: Lying, terms: Terms, *, now: datetime) -> str | None:
    """Return why a file may not go by what is written down, None if it may."""
    if file.sha256 is None or not file.receipts:
        return "not delivered everywhere yet, or wanted by nobody"
    if file.is_busy:
        return "the relay works on it"
    if file.is_doubted:
        return "in doubt which scan it is of"
    return next(filter(None, (_unproved(one, file, terms, now) for one in file.receipts)), None)


def _unproved(one: Receipted, file: Lying, terms: Terms, now: datetime) -> str | None:
    if one.state != DeliveryState.VERIFIED:
        return f"not verified at {one.destination}"
    if one.document is None:
        return f"without a receipt of {one.destination}"
    try:
        said = check_receipt(one.document, public_key=terms.public_key)
    except BadInput:
        return f"with a receipt of {one.destination} that this relay did not sign, or that was changed"
    told = (said["source"]["size"], said["source"]["sha256"], said["destination"], said["place"])
    if told != (file.size, file.sha256, one.destination, one.place):
        return f"with a receipt of {one.destination} for something else"
    if now - datetime.fromisoformat(said["verified_at"]) < timedelta(seconds=terms.hold_s):
        return "held by every archive, but not for long enough"
    return None


def propose(database: Database, terms: Terms, *, actor: str, clock: Clock) -> list[tuple[Lying, str | None]]:
    """Write down what could be deleted, as a list that a person can approve, and return all that lies there."""
    now = clock.now()
    with database.read() as connection:
        found = judged(connection, terms, now=now)
    with database.write() as connection:
        ask_for(connection, terms.source, [file for file, why in found if why is None], actor=actor, at=now)
    return found


def approve(database: Database, terms: Terms, *, actor: str, clock: Clock) -> list[Wish]:
    """Approve what the last list has, and return it; the engine deletes it within the limits.

    Raises:
        BadInput: there is no list.
    """
    now = clock.now()
    with database.write() as connection:
        listed = wishes(connection, terms.source, Step.LISTED, machine=terms.machine)
        approved = [wish for wish in listed if move(connection, wish, Step.APPROVED, actor=actor, at=now)]
    if not approved:
        raise BadInput(
            f"There is no list of {terms.source} to approve: run the same command without --for-real and read what it "
            "lists. Nothing was deleted."
        )
    return approved


class Deleting:
    """Deletes what was approved at one source, one file after the other, in the scanner's windows and limits."""

    def __init__(  # noqa: PLR0913 -- the ports
        self,
        terms: Terms,
        deleter: Deleter,
        *,
        prove: Callable[[int], bool],
        waits: Callable[[], bool],
        database: Database,
        clock: Clock,
    ) -> None:
        """``prove`` lets an archive prove a delivery now; False: it does not, or cannot be asked."""
        self._terms = terms
        self._deleter = deleter
        self._prove = prove
        self._waits = waits
        self._database = database
        self._clock = clock
        self._rests: dict[int, float] = {}
        """By capture until when it is left alone: nobody reads a large file again each minute in vain."""

    def __call__(self) -> None:
        """Go on with what was begun, then with what was approved, until the day's limit or the window's end.

        Raises:
            SourceError: the share does not answer; what was begun is gone on with.
        """
        terms, begun = self._terms, [Step.INTENDED, Step.APPROVED]
        if terms.is_own:
            propose(self._database, terms, actor=RELAY, clock=self._clock)
            begun.append(Step.LISTED)
        with self._database.read() as connection:
            asked = wishes(connection, terms.source, *begun, machine=terms.machine)
        for wish in asked:
            if wish.step is Step.INTENDED:
                self._clear_up(wish)
        for wish in asked:
            if wish.step is Step.INTENDED or self._rests.get(wish.capture_id, 0.0) > self._clock.monotonic():
                continue
            if self._waits() or not self._has_room_for(wish):
                return
            self._delete(wish)

    def _clear_up(self, wish: Wish) -> None:
        """Find out how a deletion ended that something broke off: the file is gone, or it is given its name back."""
        try:
            is_there = self._deleter.restore(wish.path, aside=self._aside(wish))
        except FileUnreadable as error:
            self._end(wish, Step.KEPT, str(error))
        else:
            said = "The deletion was broken off, and the file is at its place." if is_there else "The file is gone."
            self._end(wish, Step.KEPT if is_there else Step.DELETED, said)

    def _has_room_for(self, wish: Wish) -> bool:
        with self._database.read() as connection:
            number, size = deleted_today(connection, self._terms.source, now=self._clock.now())
        is_first = number == 0  # a file larger than a day's limit is a day's work
        fits = size + wish.size <= self._terms.bytes_per_day or is_first
        return number < self._terms.files_per_day and fits

    def _delete(self, wish: Wish) -> None:
        stands, (file, why) = wish, self._look(wish)
        if file is None or why is not None:
            self._end(wish, Step.KEPT, f"It is {why}.")
            return

        def intend() -> None:
            nonlocal stands
            stands = self._intend(wish, file)

        try:
            self._deleter.delete(
                SourceFile(path=file.path, size=file.size, mtime_ns=file.mtime_ns),
                sha256=wish.sha256,
                aside=self._aside(wish),
                intend=intend,
                go_on=self._go_on,
            )
        except _NotNow:
            self._rests[wish.capture_id] = self._clock.monotonic() + _NOT_NOW_S
        except KspaceError as error:
            if error.pauses:
                raise
            self._end(stands, Step.KEPT, str(error))
        else:
            self._end(stands, Step.DELETED, None)

    def _aside(self, wish: Wish) -> str:
        return f"{ASIDE}{self._terms.machine}-{wish.capture_id}.deleting"

    def _look(self, wish: Wish) -> tuple[Lying | None, str | None]:
        with self._database.read() as connection:
            return self._as_written(connection, wish)

    def _as_written(self, connection: Connection, wish: Wish) -> tuple[Lying | None, str | None]:
        """Return the file as it is written down, and why it may not go."""
        found = judged(connection, self._terms, now=self._clock.now(), capture_id=wish.capture_id)
        file, why = found[0] if found else (None, "at its place no more")
        if file and (file.size, file.mtime_ns, file.sha256) != (wish.size, wish.mtime_ns, wish.sha256):
            why = "another file than the one that was listed"
        return file, why

    def _intend(self, wish: Wish, file: Lying) -> Wish:
        """Let every archive prove it now; then look once more, and write that it goes."""
        for receipt in file.receipts:
            if not self._prove(receipt.delivery_id):
                raise _NotNow(f"{receipt.destination} does not prove it now.")
        with self._database.write() as connection:
            if self._as_written(connection, wish) != (file, None):
                raise _Unproved("What is written down of it changed while archives proved it. It was left as it is.")
            at, machine = self._clock.now(), self._terms.machine
            if not move(connection, wish, Step.INTENDED, actor=RELAY, at=at, machine=machine):
                raise _Unproved("Somebody else deals with it. It was left as it is.")
        return replace(wish, step=Step.INTENDED)

    def _go_on(self) -> None:
        if self._waits():
            raise _NotNow("The scanner may not be read now.")

    def _end(self, wish: Wish, step: Step, reason: str | None) -> None:
        self._rests[wish.capture_id] = self._clock.monotonic() + _KEPT_S
        with self._database.write() as connection:
            move(connection, wish, step, actor=RELAY, at=self._clock.now(), reason=reason)


_SET_BACK = "kept, since this machine's clock stands before what was written down already"
