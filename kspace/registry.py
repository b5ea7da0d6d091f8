"""Plug-ins: one file in a plug-in folder, ending in ``PLUGIN = Plugin("kind", Settings, Class)``."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from kspace.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plugin:
    """One kind of a part: its name in the configuration, the model of its settings, and how to build it."""

    kind: str
    settings: type[Any]
    build: Callable[..., Any]


def plugins(folder: ModuleType) -> dict[str, Plugin]:
    """Return the plug-ins of a package by kind: its own modules first, then entry points of the package's name.

    Raises:
        ConfigError: two plug-ins claim one kind, or there is none: pkgutil takes an unreadable folder for an empty one.
    """
    found: dict[str, Plugin] = {}
    names = (m.name for m in iter_modules(folder.__path__))
    modules = (import_module(f"{folder.__name__}.{name}") for name in names)
    own = [m.PLUGIN for m in modules if hasattr(m, "PLUGIN")]
    for plugin in [*own, *(e.load() for e in entry_points(group=folder.__name__))]:
        if plugin.kind in found:
            raise ConfigError(f"Two plug-ins of {folder.__name__} claim the kind {plugin.kind!r}; remove one.")
        found[plugin.kind] = plugin
    if not found:
        raise ConfigError(f"No plug-in of {folder.__name__} can be found; install the relay again and restart it.")
    return found
