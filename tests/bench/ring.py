"""`python -m tests.bench.ring [FILE.svg]`: a scanner's ring store over seven weeks, read at several paces.

The store of `tests/unit/transfer/test_overwriting.py`: 300 GB, about 80 GB on each working day, the oldest dropped. For
three weeks all of it is read quickly; then at the pace of the line for four weeks. Printed is what was lost, how long
before the loss it was announced at the latest, and what was announced and not lost; drawn is how long the oldest file
that waits still had, by the estimate at that moment, when the pace was the slowest.
"""

import sys
from datetime import timedelta
from pathlib import Path

from hardware.chart import chart
from tests.unit.transfer.test_overwriting import START, Scanner

_QUICK, _PACES = 5.0, (5.0, 4.0, 3.0, 2.5, 2.0, 1.5)
_QUICK_DAYS, _DAYS = 21, 49
_TOLD_H = 36.0
_SHOWN_H = 120.0
_HOUR_S = 3600.0


def main() -> None:
    """Print the table, and draw the slowest pace."""
    _say("GB an hour", "files", "lost", "announced at the latest", "announced and not lost")
    for pace in _PACES:
        scanner = _run(pace)[0]
        lost = scanner.lost
        early = [file.gone_at - file.told_at for file in lost if file.gone_at and file.told_at]
        untold = len(lost) - len(early)
        latest = f"{min(early) / timedelta(hours=1):.0f} h before" if early else "-"
        spared = [file for file in scanner.files if file.told_at and not (file.gone_at and file.left_to_read)]
        _say(f"{pace:g}", str(len(scanner.files)), str(len(lost)), latest if not untold else "never", str(len(spared)))
    if len(sys.argv) > 1:
        scanner, left = _run(_PACES[-1])
        first = min(file.gone_at for file in scanner.lost if file.gone_at)
        lossy = ((first - START) / timedelta(days=1), float(_DAYS), "wanted files are lost")
        title = f"Hours left, at least, to the oldest file that waits; from day {_QUICK_DAYS} read too slowly"
        limits = [(_TOLD_H, "a loss is announced")]
        drawn = chart(left, title=title, across="days", up="h", limits=limits, spans=[lossy])
        Path(sys.argv[1]).write_text(drawn, encoding="utf-8")


def _run(pace: float) -> tuple[Scanner, list[tuple[float, float]]]:
    """Return the store at the end, and over the days how many hours the oldest file that waited had left."""
    scanner, left = Scanner(gb_per_hour=_QUICK), []
    for day in range(_DAYS):
        scanner.gb_per_hour = _QUICK if day < _QUICK_DAYS else pace
        scanner.run(days=1)
        ring = scanner.ring()
        waits = next((file for file in scanner.files if file.gone_at is None and file.left_to_read), None)
        told = ring.left(waits.born_at) if waits else None
        left.append((float(day + 1), min(_SHOWN_H, told.at_least_s / _HOUR_S) if told else _SHOWN_H))
    return scanner, left


def _say(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
