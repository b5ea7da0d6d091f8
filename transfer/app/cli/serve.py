"""`kspace serve`, `engine`, `listen`: run the relay, or half of it."""

import signal
import threading

import typer

from transfer.app.cli.options import DEFAULT_CONFIG, ConfigPath, open_box


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
    running = [*(box.listeners() if with_listener else ()), *([box.engine()] if with_engine else ())]
    for part in running:
        part.start()
    typer.echo(f"The relay {box.config.relay.name} is running; Ctrl-C ends it safely.", err=True)
    ended.wait()
    for part in running:
        part.stop()
    box.close()
