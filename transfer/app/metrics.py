"""What Prometheus is told: the relay in figures, in its text format (version 0.0.4), and the server that tells it."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from socket import AF_INET6

from hardware.records import Reading, Severity
from kspace.errors import ConfigError, KspaceError
from transfer.app.wiring import Box
from transfer.catalog.figures import Figures, oldest_unsent, standing
from transfer.catalog.readings import newest_readings
from transfer.catalog.totals import Done, Totals
from transfer.states import CaptureState, DeliveryState

_FRESH_S = 1.0
"""More askers in a second get the same answer: nobody can load the catalog by asking."""
_SILENT_S = 10.0
_LATE = timedelta(seconds=10)
"""PostgreSQL shows ids out of order: what is younger is counted at the next look."""
_UNITS = (
    ("_percent", "_ratio", 0.01),
    ("_mbit_per_s", "_bytes_per_second", 125_000.0),
    ("_days", "_seconds", 86_400.0),
    ("_count", "", 1.0),
)


Sample = tuple[Mapping[str, str], float]


@dataclass(slots=True)
class Family:
    """One metric: its name, what it means, and its samples by their labels."""

    name: str
    meaning: str
    samples: list[Sample] = field(default_factory=list)

    def lines(self, common: Mapping[str, str]) -> Iterator[str]:
        """Yield the lines of the text format; a name that ends in ``_total`` is a counter."""
        yield f"# HELP {self.name} {self.meaning}"
        yield f"# TYPE {self.name} {'counter' if self.name.endswith('_total') else 'gauge'}"
        for labels, value in self.samples:
            said = ",".join(f'{name}="{_escaped(text)}"' for name, text in {**common, **labels}.items())
            yield f"{self.name}{{{said}}} {value:.15g}"


class Collector:
    """Reads the catalog for one relay; what was counted once is counted on."""

    def __init__(self, box: Box, *, ran: Mapping[str, datetime] | None = None) -> None:
        self._box = box
        self._ran = {} if ran is None else ran
        self._totals = Totals()

    def text(self) -> str:
        """Return all metrics.

        Raises:
            CatalogDown: the catalog does not answer.
        """
        relay = self._box.config.relay
        common = {"site": relay.site, "relay": relay.name}
        return "".join(f"{line}\n" for family in self.families() for line in family.lines(common))

    def families(self) -> list[Family]:
        """Return all metrics of this moment."""
        box, now = self._box, self._box.clock.now()
        until = None if box.database.is_sqlite else now - _LATE
        with box.database.read() as connection:
            figures, oldest = standing(connection), oldest_unsent(connection)
            totals = self._totals.look(connection, until=until)
            readings = newest_readings(connection, machine=box.config.relay.name, now=now)
        scanners = sorted(
            {s.name for s in box.config.scanner} | {of for (w, of, _) in totals if w == "packed"} | {*oldest}
        )
        destinations = sorted(str(d["name"]) for d in box.config.destination)
        paused = {what for (what,) in figures["pauses"]}
        return [
            Family("kspace_build_info", "Always 1; the version of the program.", [({"version": _VERSION}, 1)]),
            Family(
                "kspace_captures", "Raw files seen, by where they stand.", _by_state(figures["captures"], CaptureState)
            ),
            Family(
                "kspace_deliveries",
                "Captures and studies on their way to a destination, by where they stand.",
                _by_state(figures["deliveries"], DeliveryState),
            ),
            *_of_scanners(scanners, figures, totals, oldest, now),
            *_of_destinations(destinations, figures, totals),
            Family(
                "kspace_destination_is_paused",
                "1 while a destination is left alone because it does not answer or refuses.",
                [({"destination": d}, float(f"destination:{d}" in paused)) for d in destinations],
            ),
            Family(
                "kspace_alerts",
                "Open alerts by severity.",
                [({"severity": s}, figures["alerts"].get((s,), 0)) for s in Severity],
            ),
            Family(
                "kspace_alerts_acknowledged",
                "Open alerts that a person sees to, by severity.",
                [({"severity": s}, figures["acknowledged"].get((s,), 0)) for s in Severity],
            ),
            Family(
                "kspace_sink_waiting_messages",
                "Messages that a sink has not handed over yet.",
                [({"sink": s}, figures["messages"].get((s,), 0)) for s in box.sinks()],
            ),
            Family(
                "kspace_feed_last_run_timestamp_seconds",
                "When a periodic work last ended without an error.",
                [({"feed": name}, at.timestamp()) for name, at in sorted(self._ran.items())],
            ),
            *_of_box(reading for _, reading in readings),
        ]


class MetricsServer:
    """Answers ``GET /metrics`` for as long as it runs."""

    def __init__(self, address: str, collector: Collector, *, monotonic: Callable[[], float]) -> None:
        host, _, port = address.rpartition(":")
        self._collector = collector
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._text, self._read_at = b"", float("-inf")
        try:
            self._server = _Server((host.strip("[]"), int(port)), self._answer)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "no such port"
            raise ConfigError(f"Metrics cannot be served at {address} ({reason}); see metrics in [relay].") from error
        self.port = self._server.server_port

    def start(self) -> None:
        """Serve in a thread of its own; what was done before is counted at once, so that the first to ask is quick."""
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        threading.Thread(target=self._count, name="metrics count", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def _count(self) -> None:
        with suppress(KspaceError):  # whoever asks is told
            self._answer()

    def _answer(self) -> bytes:
        with self._lock:
            if self._monotonic() - self._read_at >= _FRESH_S:
                self._text = self._collector.text().encode()
                self._read_at = self._monotonic()
            return self._text


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, place: tuple[str, int], answer: Callable[[], bytes]) -> None:
        if ":" in place[0]:
            self.address_family = AF_INET6
        self.answer = answer
        super().__init__(place, _Asked)


class _Asked(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENT_S
    server_version = "kspace"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics, or say that the catalog does not."""
        if self.path.partition("?")[0] != "/metrics":
            self._say(404, b"Ask for /metrics.\n")
            return
        try:
            self._say(200, self.server.answer())
        except KspaceError as error:
            self._say(503, f"{error}\n".encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Write nothing: a line for each asking would drown the log."""


_VERSION = version("kspace-relay")
_NOTHING = Done()


def _by_state(counted: Figures, states: type[CaptureState] | type[DeliveryState]) -> list[Sample]:
    return [({"state": state}, counted.get((state,), 0)) for state in states]


def _of_scanners(
    scanners: Iterable[str],
    figures: Mapping[str, Figures],
    totals: Mapping[tuple[str, str, str], Done],
    oldest: Mapping[str, datetime],
    now: datetime,
) -> Iterator[Family]:
    packed = {s: totals.get(("packed", s, ""), _NOTHING) for s in scanners}

    def family(name: str, meaning: str, value: Callable[[str], float | None]) -> Family:
        found = ((s, value(s)) for s in packed)
        samples = [({"scanner": s}, number) for s, number in found if number is not None]
        return Family(f"kspace_scanner_{name}", meaning, [*samples])

    yield family("captured_files_total", "Raw files captured.", lambda s: packed[s].number)
    yield family("captured_bytes_total", "Bytes of the raw files captured.", lambda s: packed[s].source_bytes)
    yield family("stored_bytes_total", "Bytes that they take, packed.", lambda s: packed[s].stored_bytes)
    yield family(
        "last_capture_timestamp_seconds",
        "When the last raw file was captured.",
        lambda s: at.timestamp() if (at := packed[s].last_at) else None,
    )
    yield family(
        "unsent_bytes",
        "Bytes of the raw files that not every archive holds yet.",
        lambda s: figures["waiting_bytes"].get((s,), 0),
    )
    yield family(
        "oldest_unsent_seconds",
        "How long the oldest of them has waited.",
        lambda s: (now - oldest[s]).total_seconds() if s in oldest else 0,
    )
    waiting = [({"scanner": s, "state": state}, n) for (s, state), n in sorted(figures["waiting_captures"].items())]
    yield Family("kspace_scanner_unsent_files", "Raw files that not every archive holds yet, by state.", [*waiting])


def _of_destinations(
    destinations: Iterable[str],
    figures: Mapping[str, Figures],
    totals: Mapping[tuple[str, str, str], Done],
) -> Iterator[Family]:
    of_raw = [(d, {"destination": d}) for d in destinations]
    of_all = [(d, kind, {"destination": d, "kind": kind}) for d in destinations for kind in ("raw", "dicom")]

    def counted(what: str, d: str, kind: str) -> Done:
        return totals.get((what, d, kind), _NOTHING)

    for what, meaning in (("sent", "sent to"), ("verified", "proved to be in")):
        yield Family(
            f"kspace_destination_{what}_total",
            f"Captures and studies {meaning} a destination.",
            [(labels, counted(what, d, kind).number) for d, kind, labels in of_all],
        )
        yield Family(
            f"kspace_destination_{what}_bytes_total",
            f"Bytes of raw data, as packed, {meaning} a destination.",
            [(labels, counted(what, d, "raw").stored_bytes) for d, labels in of_raw],
        )
    proofs = [(labels, counted("verified", d, kind).last_at) for d, kind, labels in of_all]
    yield Family(
        "kspace_destination_last_proof_timestamp_seconds",
        "When a destination last proved that it holds something new.",
        [(labels, at.timestamp()) for labels, at in proofs if at is not None],
    )
    backlog: Figures = {
        **figures["backlog_bytes"],
        **{(d, "dicom"): n for (d,), n in figures["image_backlog"].items()},
    }
    yield Family(
        "kspace_destination_backlog_bytes",
        "Bytes that a destination has not proved to hold yet.",
        [(labels, backlog.get((d, kind), 0)) for d, kind, labels in of_all],
    )
    yield Family(
        "kspace_destination_waiting_deliveries",
        "Captures and studies that a destination has not proved to hold yet.",
        [
            ({"destination": d, "kind": kind, "state": state}, n)
            for (d, kind, state), n in sorted(figures["waiting_deliveries"].items())
        ],
    )


def _of_box(readings: Iterable[Reading]) -> Iterator[Family]:
    """Yield what was read of the box, in base units: ``disk_wear_percent`` is ``kspace_box_disk_wear_ratio``."""
    found: dict[str, Family] = {}
    for reading in readings:
        name, factor = reading.what, 1.0
        for unit, base, times in _UNITS:
            if name.endswith(unit):
                name, factor = name.removesuffix(unit) + base, times
        family = found.setdefault(name, Family(f"kspace_box_{name}", f"Read of the box: {reading.what}."))
        family.samples.append(({"of": reading.of}, reading.value * factor))
    return iter(found.values())


def _escaped(text: str) -> str:
    return re.sub(r'[\\"]', r"\\\g<0>", text).replace("\n", r"\n")
