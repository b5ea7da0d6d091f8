"""Network interfaces: link, speed, and packets that were lost or broken (psutil; net_device statistics)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
from pydantic import Field

from hardware.readings import ReaderSettings
from hardware.records import Limit, Reading
from kspace.registry import Plugin

Counters = Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]]


class NetworkSettings(ReaderSettings):
    """Which interfaces must be up, how fast, and how many packets may be bad."""

    interfaces: tuple[str, ...] = ()
    """Those that must be up; all others are only read."""
    least_mbit_per_s: float = Field(default=1000.0, ge=0)
    most_bad_percent: float = Field(default=0.1, gt=0)


class NetworkReader:
    """Reads every interface but the loopback; bad packets are counted between two looks."""

    def __init__(self, settings: NetworkSettings, *, counters: Counters | None = None) -> None:
        self._settings = settings
        self._counters = counters or (lambda: (psutil.net_if_stats(), psutil.net_io_counters(pernic=True)))
        self._before: Mapping[str, Any] = {}
        self.limits = _limits(settings)

    def read(self) -> Iterator[Reading]:
        """Yield of each interface whether it is up, how fast, and what share of its packets was bad since last time."""
        stats, counts = self._counters()
        for name in self._settings.interfaces:
            yield Reading(what="network_is_up", of=name, value=float(name in stats and stats[name].isup))
        for name, stat in stats.items():
            if "loopback" in stat.flags.split(","):
                continue
            if stat.isup and stat.speed and name in self._settings.interfaces:
                yield Reading(what="network_speed_mbit_per_s", of=name, value=stat.speed)
            if name in counts:
                yield from self._of_counts(name, counts[name])
        self._before = counts

    def _of_counts(self, name: str, now: Any) -> Iterator[Reading]:  # noqa: ANN401 -- psutil's own named tuple
        bad, good = _bad(now), now.packets_recv + now.packets_sent
        yield Reading(what="network_received_bytes_total", of=name, value=now.bytes_recv)
        yield Reading(what="network_sent_bytes_total", of=name, value=now.bytes_sent)
        yield Reading(what="network_bad_packets_total", of=name, value=bad)
        before = self._before.get(name)
        if before is not None:
            new, new_bad = good - before.packets_recv - before.packets_sent, bad - _bad(before)
            if new >= 0 and new_bad >= 0:  # counters begin anew when an interface does
                percent = 100 * new_bad / max(1, new + new_bad)
                yield Reading(what="network_bad_packets_percent", of=name, value=percent)


def _bad(count: Any) -> int:  # noqa: ANN401 -- psutil's own named tuple
    return int(count.errin + count.errout)


def _limits(settings: NetworkSettings) -> tuple[Limit, ...]:
    return (
        Limit(
            key="network_down",
            what="network_is_up",
            critical=0,
            is_low=True,
            text="The network interface {of} is down. See to its cable and switch; what waits goes on by itself.",
        ),
        Limit(
            key="network_slow",
            what="network_speed_mbit_per_s",
            warning=settings.least_mbit_per_s - 1,
            is_low=True,
            text="The network interface {of} runs at {value:.0f} Mbit/s only. See to its cable, plug and switch port.",
        ),
        Limit(
            key="network_bad",
            what="network_bad_packets_percent",
            warning=settings.most_bad_percent,
            gap=settings.most_bad_percent / 2,
            text="{value:.2f} % of the packets of {of} were broken. See to its cable, plug and switch port.",
        ),
    )


PLUGIN = Plugin("network", NetworkSettings, NetworkReader)
