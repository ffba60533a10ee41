"""Reading a configuration, or opening logs, in a process of its own, as a name server or a mount may keep it waiting.

A name server that is silent keeps `getaddrinfo` waiting for half a minute, a dead mount keeps any open() waiting. The
master has signals to obey, workers to replace and a watchdog to feed, so it forks a child that waits in its place.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final, Generic, TypeVar

from mailworker.config.addresses import system_addresses
from mailworker.config.destinations import literal_paths
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.settings import Settings
from mailworker.config.ssl import SslSettings
from mailworker.errors import ConfigError, StartError
from mailworker.log.line import describe
from mailworker.log.log import Log, OpenFiles, open_logs
from mailworker.model import Level, UnixAddress
from mailworker.process.bug import describe_bug
from mailworker.process.invocation import Invocation
from mailworker.process.steps import at_once
from mailworker.process.system.inherited_state import close_all_but
from mailworker.process.system.titles import title_child
from mailworker.process.tls_contexts import TlsContexts
from mailworker.process.user_files import UserFiles

DEADLINE: Final = 60.0
"""Seconds: some more than the system's resolver takes to give up a name."""

# Seconds between looks at the child's messages: none of them is more urgent.
_PAUSE = 0.01

# Seconds in which a child that is done, or killed, should exit. One that waits for a dead disk is left alone.
_LONGEST_END = 1.0

_READING = "reading a file"

# Messages of the child: its next step, a line for the log, and at last its result, or why there is none.
Told = str | tuple[Level, str] | Settings | None | ConfigError | StartError
Tell = Callable[[Told], None]
Result = TypeVar("Result", bound=Settings | None)


@dataclass(frozen=True, slots=True)
class Errand(Generic[Result]):
    """The child's task, and words for the log: what it is `doing`, what it `does`, and what is `undone`."""

    find: Callable[[Tell], Result]
    doing: str
    does: str
    undone: str


def read_configuration(invocation: Invocation, users: UserFiles) -> Errand[Settings]:
    """Read the settings and try all that they name: files, certificates, logs and names.

    Files that are still as in `users` have been tried.
    """
    find = partial(_read_and_try, invocation, users)
    return Errand(find, "reading the configuration", "reads the configuration", "configuration could not be read")


def open_logs_first(paths: Iterable[Path]) -> Errand[None]:
    """Open log files once, so that the master, which reports failures itself, does not have to wait for them."""
    return Errand(partial(_open_logs, tuple(paths)), "reopening logs", "reopens logs", "logs could not be reopened")


class Reader(Generic[Result]):
    """The child, and the pipe that its messages come by."""

    __slots__ = ("_complete", "_data", "_errand", "_pid", "_pipe")

    def __init__(self, errand: Errand[Result]) -> None:
        """Raises StartError."""
        self._errand = errand
        self._complete = False
        self._data = bytearray()
        try:
            self._pipe, theirs = os.pipe()
        except OSError as error:
            raise StartError(f"pipe() failed while {errand.doing} {describe(error)}") from None
        try:
            self._pid = os.fork()
        except OSError as error:
            os.close(self._pipe)
            os.close(theirs)
            raise StartError(f"fork() failed while {errand.doing} {describe(error)}") from None
        if self._pid == 0:
            os._exit(_live(errand, theirs))
        os.close(theirs)
        os.set_blocking(self._pipe, False)

    def read(self, log: Log) -> Generator[float, None, Result]:
        """The child's result.

        Yields the seconds to wait before it is resumed. Warnings go to `log`. Raises ConfigError and StartError, the
        latter after DEADLINE seconds too. A child that is still running then, after an error or after this was closed,
        is killed.
        """
        until = monotonic() + DEADLINE
        try:
            while not self._listen() and monotonic() < until:
                yield _PAUSE
        finally:
            self._close()
        until = monotonic() + _LONGEST_END
        while not self._reaped() and monotonic() < until:
            yield _PAUSE
        return self._result(log)

    def leave(self) -> None:
        """Close the pipe, in another child of the master."""
        if self._pipe >= 0:
            os.close(self._pipe)

    def _listen(self) -> bool:
        """Take the child's messages; returns whether that is all, as it has closed its end."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, 1 << 16):
                self._data += data
            self._complete = True
        return self._complete

    def _close(self) -> None:
        """Close the pipe, and let the child end."""
        if not self._listen():  # while its end is open it lives, so its process id is still its own
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._pipe)
        self._pipe = -1

    def _reaped(self) -> bool:
        """Whether the child is gone, reaped by us or by the master."""
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def _result(self, log: Log) -> Result:
        """The result among the child's messages. Raises ConfigError and StartError."""
        step = self._errand.doing
        for told in self._told():
            if isinstance(told, str):
                step = told
            elif isinstance(told, tuple):
                log.write(*told)
            elif isinstance(told, ConfigError | StartError):
                raise told
            else:
                return told
        if self._complete:
            raise StartError(f"process {self._pid} that {self._errand.does} has ended, {step}")
        raise StartError(f"{self._errand.undone} within {DEADLINE:g} seconds, {step}")

    def _told(self) -> Iterator[str | tuple[Level, str] | ConfigError | StartError | Result]:
        stream = io.BytesIO(self._data)
        with suppress(EOFError, pickle.UnpicklingError):  # the last message may be incomplete
            while True:
                yield pickle.load(stream)


def _live(errand: Errand[Result], pipe: int) -> int:
    """The child's life; returns its exit code. It has no descriptor but the pipe, and SIGALRM ends it in time."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(int(2 * DEADLINE) + 1)
        gc.disable()  # a collection would copy all that is shared with the master
        title_child("configuration reader")
        close_all_but(pipe)
        with os.fdopen(pipe, "wb") as stream:
            _tell_all(errand, partial(_write, stream))
    except BaseException:  # must not run on into the master's frames; the master learns that no more messages come
        return 1
    return 0


def _write(stream: BinaryIO, told: Told) -> None:
    pickle.dump(told, stream)
    stream.flush()


def _tell_all(errand: Errand[Result], tell: Tell) -> None:
    try:
        tell(errand.find(tell))
    except (ConfigError, StartError) as error:
        tell(error)
    except Exception as bug:
        tell((Level.ALERT, describe_bug(bug)))


def _warn(tell: Tell, level: Level, message: str) -> None:
    tell((level, message))


def _read_and_try(invocation: Invocation, users: UserFiles, tell: Tell) -> Settings:
    tell(_READING)
    settings = _read(invocation, tell)
    tell("reading users")
    sources = [server.source for server in settings.servers]
    at_once(UserFiles.read(sources, partial(_warn, tell), users))
    _try_paths(settings, tell)
    return settings


def _read(invocation: Invocation, tell: Tell) -> Settings:
    warn = partial(_warn, tell)
    contexts = TlsContexts(invocation.configuration.parent, warn)

    def resolve(host: str) -> list[str]:
        tell(f'looking up "{host}"')
        addresses = system_addresses(host)
        tell(_READING)
        return addresses

    def add(settings: SslSettings | None, backends: ProxySslSettings | None, protocol: str) -> None:
        tell("loading certificates")
        contexts.add(settings, backends, protocol)

    return invocation.read(warn, on_tls=add, resolve=resolve)


def _try_paths(settings: Settings, tell: Tell) -> None:
    """Open what the master will open: if that has to wait, it waits here."""
    files = OpenFiles()
    try:
        for targets in {settings.core.error_log, *(server.error_log for server in settings.servers)}:
            tell("opening logs")
            open_logs(targets, files)
        for path in literal_paths(settings.destinations):
            files.open(path)
    finally:
        files.close()
    tell("looking at folders of sockets and of the pid file")
    listens = [listen.address for server in settings.servers for listen in server.listens]
    sockets = [Path(address.path) for address in listens if isinstance(address, UnixAddress)]
    for path in (settings.core.pid, *sockets):
        os.path.lexists(path)


def _open_logs(paths: Iterable[Path], tell: Tell) -> None:
    files = OpenFiles()
    try:
        for path in paths:
            tell(f'opening "{path}"')
            with suppress(StartError):  # the master will meet it, too, and report it
                files.open(path)
    finally:
        files.close()
