"""`kspace serve`, `engine`, `listen`: run the relay, or half of it."""

import signal
import threading

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, open_box
from transfer.app.metrics import Collector, MetricsServer
from transfer.app.notify import Notifier


def serve(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run everything in one process; Ctrl-C ends it safely.

    Inventory, capture, DICOM listener, delivery. Stopping or killing it at any moment is safe: it goes on where it
    was.
    """
    _run(config, with_engine=True, with_listener=True)


def engine(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run only the engine: inventory, capture, delivery.

    `kspace listen` receives DICOM beside it, on the same catalog.
    """
    _run(config, with_engine=True, with_listener=False)


def listen(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run only the DICOM listener.

    `kspace engine` works beside it, on the same catalog.
    """
    _run(config, with_engine=False, with_listener=True)


def _run(config: ConfigPath, *, with_engine: bool, with_listener: bool) -> None:
    box = open_box(config, is_quiet=False)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    engines = [box.engine()] if with_engine else []
    running = [*(box.listeners() if with_listener else ()), *engines]
    if box.config.relay.metrics is not None and with_engine:
        collector = Collector(box, ran=engines[0].ran)
        running.append(MetricsServer(box.config.relay.metrics, collector, monotonic=box.clock.monotonic))
    for part in running:
        part.start()
    notifier = Notifier()
    notifier.tell("READY=1")
    typer.echo(f"The relay {box.config.relay.name} is running; Ctrl-C ends it safely.", err=True)
    while not ended.wait(notifier.every_s):
        if all(engine.is_alive() for engine in engines):
            notifier.tell("WATCHDOG=1")
    notifier.tell("STOPPING=1")
    for part in running:
        part.stop()
    box.close()
