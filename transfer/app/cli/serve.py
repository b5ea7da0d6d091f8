"""`kspace serve`, `engine`, `listen`: run the relay, or half of it."""

import signal
import threading

import typer

from kspace.errors import ConfigError
from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, open_box
from transfer.app.metrics import Collector, MetricsServer
from transfer.app.notify import Notifier
from transfer.app.power import Power
from transfer.app.web.server import WebServer
from transfer.app.wiring import Box
from transfer.engine import Engine

_LOOK_S = 1.0
"""How often the power is thought of; the UPS is asked as often as its settings say."""


def serve(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run everything in one process; Ctrl-C ends it safely.

    Inventory, capture, DICOM listener, delivery. Stopping or killing it at any moment is safe: it goes on where it
    was.
    """
    run(config, with_engine=True, with_listener=True)


def engine(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run only the engine: inventory, capture, delivery.

    `kspace listen` receives DICOM beside it, on the same catalog.
    """
    run(config, with_engine=True, with_listener=False)


def listen(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run only the DICOM listener.

    `kspace engine` works beside it, on the same catalog.
    """
    run(config, with_engine=False, with_listener=True)


def run(config: ConfigPath, *, with_engine: bool, with_listener: bool) -> None:
    """Run the parts asked for until a signal comes; the page where it is asked for alone, or with everything."""
    ended, notifier = threading.Event(), Notifier()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    box = open_box(config, is_quiet=False)
    power = Power(box.config, clock=box.clock)
    while True:
        _live(box, power, ended, notifier=notifier, with_engine=with_engine, with_listener=with_listener)
        box.close()
        if ended.is_set():
            break
        typer.echo("The power is out: the relay has stopped, and goes on when the mains are back.", err=True)
        while power.is_out() and not ended.wait(min(notifier.every_s or _LOOK_S, _LOOK_S)):
            notifier.tell("WATCHDOG=1")
        box = open_box(config, is_quiet=False)


def _live(  # noqa: PLR0913 -- the parts
    box: Box, power: Power, ended: threading.Event, *, notifier: Notifier, with_engine: bool, with_listener: bool
) -> None:
    """Run the parts until somebody ends them, or the power is out."""
    engines = [box.engine()] if with_engine else []
    watched = [*(box.listeners() if with_listener else ()), *engines]
    running = [*watched, *_metrics(box, engines)]
    if with_engine == with_listener:
        running += _page(box, is_alone=not with_engine)
    for part in running:
        part.start()
    notifier.tell("READY=1")
    typer.echo(f"The relay {box.config.relay.name} is running; Ctrl-C ends it safely.", err=True)
    while not ended.wait(min(notifier.every_s or _LOOK_S, _LOOK_S)) and not power.is_out():
        if all(part.is_alive() for part in watched):
            notifier.tell("WATCHDOG=1")
    if ended.is_set():
        notifier.tell("STOPPING=1")
    for part in running:
        part.stop()


def _metrics(box: Box, engines: list[Engine]) -> list[MetricsServer]:
    """Return the server of metrics, if one is wanted; where its address is not there, captures do not wait for it."""
    address = box.config.relay.metrics
    if address is None or not engines:
        return []
    try:
        collector = Collector(box, ran=engines[0].ran)
        return [MetricsServer(address, collector, monotonic=box.clock.monotonic)]
    except ConfigError as error:
        typer.echo(f"{error} The relay runs without them.", err=True)
        return []


def _page(box: Box, *, is_alone: bool) -> list[WebServer]:
    """Return the server of the page, if one is wanted; beside the relay it is no reason to capture nothing."""
    if box.config.web is None and not is_alone:
        return []
    try:
        page = WebServer(box)
    except ConfigError as error:
        if is_alone:
            raise
        typer.echo(f"{error} The relay runs without it.", err=True)
        return []
    typer.echo(f"The page is at {page.url}", err=True)
    return [page]
