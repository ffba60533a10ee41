"""`mailworker.event` twice in one process: as imported, so with its C, and in Python alone."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType
from unittest.mock import patch

from mailworker.native import core

_PACKAGE = "mailworker.event"
_MODULES = (
    *("timers", "poller", "loop", "task", "sockets", "transport", "gathering"),
    *("stream", "relay", "plan", "rows", "tally", "connections", "copies", "lobby", "beginning", "pair"),
)


class Implementation:
    """The modules of the event core, which refer to each other and to no other implementation."""

    def __init__(self, name: str) -> None:
        self.name = name
        modules = {module: importlib.import_module(f"{_PACKAGE}.{module}") for module in _MODULES}
        self.beginning: ModuleType = modules["beginning"]
        self.connections: ModuleType = modules["connections"]
        self.copies: ModuleType = modules["copies"]
        self.lobby: ModuleType = modules["lobby"]
        self.loop: ModuleType = modules["loop"]
        self.pair: ModuleType = modules["pair"]
        self.plan: ModuleType = modules["plan"]
        self.poller: ModuleType = modules["poller"]
        self.relay: ModuleType = modules["relay"]
        self.rows: ModuleType = modules["rows"]
        self.sockets: ModuleType = modules["sockets"]
        self.stream: ModuleType = modules["stream"]
        self.tally: ModuleType = modules["tally"]
        self.task: ModuleType = modules["task"]
        self.timers: ModuleType = modules["timers"]


NATIVE = Implementation("Python" if core.accelerator is None else "C")
"""The implementation that the program uses in this process."""


@cache
def in_python() -> Implementation:
    """The implementation without C."""
    if core.accelerator is None:
        return NATIVE
    loaded = {name: module for name, module in sys.modules.items() if name.startswith(_PACKAGE)}
    package = sys.modules[_PACKAGE]
    attributes = {name: getattr(package, name) for name in _MODULES}
    for name in loaded.keys() - {_PACKAGE}:
        del sys.modules[name]
    try:
        with patch.object(core, "accelerator", None):
            return Implementation("Python")
    finally:
        for name in [name for name in sys.modules if name.startswith(_PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(loaded)
        for name, module in attributes.items():
            setattr(package, name, module)


def implementations() -> dict[str, Implementation]:
    """All implementations by name."""
    return {each.name: each for each in (NATIVE, in_python())}


def without_c(module: ModuleType) -> ModuleType:
    """The same module again, in Python alone; for a module that no other one refers to."""
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    with patch.object(core, "accelerator", None):
        spec.loader.exec_module(again)
    return again
