"""A reload under way: a new cycle is built beside the running one."""

from __future__ import annotations

from collections.abc import Callable, Generator

from mailworker.config.settings import Settings
from mailworker.errors import ConfigError, StartError
from mailworker.model import After, Level
from mailworker.process.bug import log_bug
from mailworker.process.cycle import Cycle
from mailworker.process.invocation import Invocation
from mailworker.process.notices import log_event_method, log_refusal, log_room
from mailworker.process.reading import Reader, read_configuration
from mailworker.process.steps import UnderWay
from mailworker.process.system import pid_file


class Reload(UnderWay[Cycle | str]):
    """Builds the successor of `old`.

    `finished` is called with the new cycle, or with the text of an error, which is logged; then `old` is unchanged.
    """

    __slots__ = ("_invocation", "_new", "_old", "_reader")

    def __init__(
        self, invocation: Invocation, old: Cycle, after: After, finished: Callable[[Cycle | str], None]
    ) -> None:
        super().__init__(after, finished)
        self._invocation = invocation
        self._new: Cycle | None = None  # perhaps incomplete
        self._old = old
        self._reader: Reader[Settings] | None = None

    def leave(self) -> None:
        """See UnderWay."""
        if self._reader is not None:
            self._reader.leave()
        if self._new is not None:
            self._new.close(self._old, shared=True)

    def _work(self) -> Generator[float, None, Cycle | str]:
        self._old.log.write(Level.NOTICE, "reconfiguring")
        try:
            return (yield from self._build())
        except (ConfigError, StartError) as error:
            log_refusal(self._old.log, error)
            return str(error)

    def _fail(self, bug: Exception) -> str:
        log_bug(self._old.log, bug)  # a reload must not end the running service
        return "a bug, see the error log"

    def _build(self) -> Generator[float, None, Cycle]:
        self._reader = Reader(read_configuration(self._invocation, self._old.watched.users))
        settings = yield from self._reader.read(self._old.log)
        self._new = new = yield from Cycle.follow(self._old, self._invocation, settings)
        try:
            yield from new.open(self._old.listeners)
            log_event_method(new.log)
            log_room(new.log, settings)
            self._move_pid_file(new)
        except BaseException:
            new.close(self._old)
            raise
        return new

    def _move_pid_file(self, new: Cycle) -> None:
        old_path, new_path = self._old.settings.core.pid, new.settings.core.pid
        if new_path == old_path:
            return
        pid_file.write(new_path)
        try:
            pid_file.remove(old_path)
        except StartError as error:
            new.log.write(Level.ALERT, str(error))
