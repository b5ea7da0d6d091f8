"""Probes an XNAT: every question on a scratch session, the largest body it takes, and how long it thinks about one."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from transfer.destinations import Body
from transfer.destinations.probing import Answer, Profile
from transfer.destinations.xnat.account import powers
from transfer.destinations.xnat.bench import Bench
from transfer.destinations.xnat.client import XnatClient
from transfer.destinations.xnat.questions import FILLS, QUESTIONS, RECOMPUTES
from transfer.destinations.xnat.raw import XnatFacts

BUDGET_S = 150.0
"""How long the search for the largest body may take; the rest needs seconds."""
_FIRST_BYTES = 1 << 16
_GROWTH = 8
_CLOSE = 1.1
"""The search ends when what was taken and what was refused are so close."""
_PATIENCE_S = 60.0
"""Usual proxies give up on an answer after 60 to 100 s."""
_BLOCK = bytes(range(256)) * 1024


def probe(  # noqa: PLR0913 -- where, and how patiently
    client: XnatClient,
    *,
    server: str,
    project: str,
    part_bytes: int,
    tell: Callable[[Answer], None],
    budget_s: float = BUDGET_S,
) -> Profile:
    """Ask everything and return what came of it.

    Raises:
        DestinationError: XNAT, or the line to it, gave up.
    """
    answers: list[Answer] = []

    def note(answer: Answer) -> None:
        answers.append(answer)
        tell(answer)

    note(_account(client))
    bench = Bench(client, project)
    with bench.cleared():
        for q in QUESTIONS:
            said = q.ask(bench)
            note(Answer(about=q.about, asked=q.asked, answered=said, normally=q.normally, source=q.source))
        search = _Search(bench, want=part_bytes, until=time.monotonic() + budget_s)
        note(search.run())
        note(search.speed())
        bench.form("size.bin", b"")
    by_name = {answer.about: answer for answer in answers}
    facts = XnatFacts(
        digest=by_name["digest"].is_as_known,
        refresh_fills=by_name["refresh"].answered in {FILLS, RECOMPUTES},
        refresh_recomputes=by_name["refresh"].answered == RECOMPUTES,
    )
    return Profile(
        server=server,
        answers=tuple(answers),
        facts=asdict(facts),
        largest=search.taken if search.refused else None,
        left=tuple(bench.left),
    )


def _account(client: XnatClient) -> Answer:
    found = powers(client)
    return Answer(
        about="account",
        asked="what the account may do beyond its projects",
        answered=", ".join(found.offices) or "nothing: a plain user",
        normally="nothing: a plain user",
        source="SiteConfigApi, PrearcSessionListResource",
    )


class _Search:
    """Looks for the largest body: grows eightfold while there is time, then halves the gap."""

    def __init__(self, bench: Bench, *, want: int, until: float) -> None:
        self._bench = bench
        self._want = want
        self._until = until
        self._rate = 1.0
        self._thought_s = 0.0
        self.taken = 0
        self.refused: int | None = None

    def run(self) -> Answer:
        size = min(self._want, _FIRST_BYTES)
        while size:
            if self._try(size):
                self.taken = size
            else:
                self.refused = size
            size = self._next()
        taken = f"bodies of {self._want:,} bytes and more"
        if self.refused:
            answered = f"bodies of {self.taken:,} bytes, and refuses {self.refused:,}"
        elif self.taken < self._want:
            answered = f"bodies of {self.taken:,} bytes; larger ones were not tried, for they take long on this line"
        else:
            answered = taken
        return Answer(
            about="largest",
            asked="the largest body it takes, up to part_bytes",
            answered=answered,
            normally=taken,
            source="FileList; proxies set their own limit (nginx: client_max_body_size)",
        )

    def speed(self) -> Answer:
        """Tell how long XNAT thinks about a whole part, going by the largest body it took."""
        normally = f"answers within {_PATIENCE_S:.0f} s of a part's last byte"
        needs_s = self._thought_s * self._want / max(self.taken, 1)
        size = int(self._want * _PATIENCE_S / max(needs_s, 1e-9))
        slow = f"needs about {needs_s:.0f} s after a part's last byte; a part_bytes of {size:,} would keep it short"
        return Answer(
            about="speed",
            asked="how long it digests a part of part_bytes",
            answered=slow if needs_s > _PATIENCE_S else normally,
            normally=normally,
            source="CatalogUtils#calculateResourceChecksums; proxy_read_timeout",
        )

    def _next(self) -> int:
        if self.refused is not None:
            middle = (self.taken + self.refused) // 2
            return 0 if self.refused < self.taken * _CLOSE or self.refused < _FIRST_BYTES else self._in_time(middle)
        return 0 if self.taken == self._want else self._in_time(min(self.taken * _GROWTH, self._want))

    def _in_time(self, size: int) -> int:
        return size if time.monotonic() + size / self._rate < self._until else 0

    def _try(self, size: int) -> bool:
        sent_at = begun_at = time.monotonic()

        def blocks() -> Iterator[bytes]:
            nonlocal sent_at
            for start in range(0, size, len(_BLOCK)):
                yield _BLOCK[: size - start]
            sent_at = time.monotonic()

        is_taken = self._bench.takes(Body(size=size, md5="", sha256="", blocks=blocks))
        if is_taken:
            self._thought_s = time.monotonic() - sent_at
            self._rate = size / max(time.monotonic() - begun_at, 1e-6)
        return is_taken
