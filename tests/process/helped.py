"""mailworker with a helper process, which the program does not have. Run as bin/mailworker is."""

from __future__ import annotations

import runpy
from collections.abc import Callable

from mailworker.model import Level
from mailworker.process import workforce
from mailworker.process.child_process import ChildProcess
from mailworker.process.system import identity
from tests.support.process import BINARY


class Helper(ChildProcess):
    """Says when it begins and when it is done."""

    __slots__ = ()

    name = "helper process"

    def _start(self) -> None:
        identity.assume(self._cycle.settings.core, self._number, self._log)
        for listener in self._cycle.listeners:
            listener.close()
        self._log.write(Level.NOTICE, "helping")

    def _finish(self, done: Callable[[], None]) -> None:
        self._log.write(Level.NOTICE, "helped")
        done()


if __name__ == "__main__":
    workforce.HELPERS = (Helper,)  # type: ignore[misc]
    runpy.run_path(str(BINARY), run_name="__main__")
