"""When the power is out: the relay stops before the battery is empty, and goes on when the mains are back."""

from math import inf

import structlog

from hardware import readings
from hardware.readings import NoAnswer, NotHere, Reader
from kspace.clock import Clock, SystemClock
from kspace.registry import plugins
from transfer.config import Config, settings_of

_log = structlog.get_logger()


class Power:
    """The UPS of the configuration, asked now and then; without one the power never fails."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self._settings = settings_of(readings, {"kind": "ups", **config.reading.get("ups", {})})
        self._reader: Reader = plugins(readings)["ups"].build(self._settings)
        self._clock = clock or SystemClock()
        self._asked_at = -inf
        self._out_since: float | None = None
        self._is_low = False

    def is_out(self) -> bool:
        """Return whether the relay must stop now, or must not begin: too long on battery, or the battery is low.

        A UPS that does not answer changes nothing: what it said last still holds.
        """
        now = self._clock.monotonic()
        if now - self._asked_at >= self._settings.every_s:
            self._asked_at = now
            self._ask(now)
        is_over = self._out_since is not None and now - self._out_since >= self._settings.stop_after_s
        return is_over or self._is_low

    def _ask(self, now: float) -> None:
        try:
            told = {reading.what: reading.value for reading in self._reader.read()}
        except (NotHere, NoAnswer) as error:
            _log.warning("ups.unread", code=error.code)
            return
        is_on_battery = bool(told.get("ups_is_on_battery"))
        self._is_low = is_on_battery and bool(told.get("ups_battery_is_low"))
        if not is_on_battery:
            self._out_since = None
        elif self._out_since is None:
            self._out_since = now
