"""Whether every disk has passed a test of its own: `smartctl --json -l selftest`."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from hardware.readings import NoAnswer
from hardware.readings.tool import output_of

Run = Callable[[list[str]], str]
_NEVER_RUN = 0xF
"""In a NVMe log: an entry that is not used (NVM Express Base Specification, Device Self-test Log)."""


def passed_self_tests(run: Run | None = None) -> Iterator[tuple[str, bool | None]]:
    """Yield every disk that smartctl finds and how its newest self-test ended; None: it has none behind it.

    Raises:
        NotHere: smartctl is not installed.
        NoAnswer: it does not answer, or not in JSON.
    """
    ask = run or (lambda command: output_of(command, timeout_s=60.0, takes=range(256)))
    for device in _json(ask(["smartctl", "--json=c", "--scan-open"])).get("devices", []):
        told = _json(ask(["smartctl", "--json=c", "-l", "selftest", "-d", device["type"], device["name"]]))
        ended = [entry for entry in _entries(told) if entry is not None]
        yield device["name"].removeprefix("/dev/"), ended[0] if ended else None


def _entries(told: dict[str, Any]) -> Iterator[bool | None]:
    """Yield the results in the log, the newest first; None: the test was ended before its end."""
    log = told.get("ata_smart_self_test_log", {})
    for entry in log.get("extended", log.get("standard", {})).get("table", []):
        yield entry["status"].get("passed")
    for entry in told.get("nvme_self_test_log", {}).get("table", []):
        result = entry["self_test_result"]["value"]
        yield None if result in {1, 2, 3, 4, 8, 9, _NEVER_RUN} else result == 0


def _json(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise NoAnswer("smartctl printed no JSON; version 7 or later is needed.") from error
