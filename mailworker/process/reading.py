"""Reading a configuration in a process of its own: what it names may keep whoever reads it waiting.

A name server that is silent costs `getaddrinfo` half a minute, a dead mount whatever opens a file there. The master has
signals to obey, workers to replace and a watchdog to feed, so it forks somebody who waits in its place.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import signal
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final

from mailworker.config.addresses import system_addresses
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.settings import Settings
from mailworker.config.ssl import SslSettings
from mailworker.errors import ConfigError, StartError
from mailworker.log.line import describe
from mailworker.log.log import Log, OpenFiles, open_logs
from mailworker.model import Level, UnixAddress
from mailworker.process.bug import describe_bug
from mailworker.process.invocation import Invocation
from mailworker.process.system.titles import title_reader
from mailworker.process.tls_contexts import TlsContexts
from mailworker.process.user_files import UserFiles

DEADLINE: Final = 60.0
"""Seconds: some more than the system's resolver takes to give a name up."""

# Seconds between looks at what the child has told: it says nothing that could not wait so long.
_PAUSE = 0.01

# Seconds in which a child that is done, or killed, should be gone; one that waits for a dead disk is left to itself.
_LONGEST_END = 1.0

_FIRST_DESCRIPTOR = 3
_READING = "reading a file"

# What the child tells: what it is about to do, what to log, and at last the settings or why there are none.
Told = str | tuple[Level, str] | Settings | ConfigError | StartError
Tell = Callable[[Told], None]


class Reader:
    """The child, and the pipe that it tells us by."""

    __slots__ = ("_complete", "_data", "_pid", "_pipe")

    def __init__(self, invocation: Invocation) -> None:
        """Raises StartError."""
        self._complete = False
        self._data = bytearray()
        try:
            self._pipe, theirs = os.pipe()
        except OSError as error:
            raise StartError(f"pipe() failed while reading the configuration {describe(error)}") from None
        try:
            self._pid = os.fork()
        except OSError as error:
            os.close(self._pipe)
            os.close(theirs)
            raise StartError(f"fork() failed while reading the configuration {describe(error)}") from None
        if self._pid == 0:
            os._exit(_live(invocation, theirs))
        os.close(theirs)
        os.set_blocking(self._pipe, False)

    def read(self, log: Log) -> Generator[float, None, Settings]:
        """The settings, when all that they name has been tried: files, certificates, logs and names.

        Yields seconds to be resumed after. Warnings go to `log`. Raises ConfigError and StartError, the latter after
        DEADLINE seconds too. A child that is left behind, by an error or since this was closed, is killed.
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
        """In another child of the master: what this one tells is not for us."""
        if self._pipe >= 0:
            os.close(self._pipe)

    def _listen(self) -> bool:
        """Take what the child has told; gives whether that is all, as it has closed its end."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, 1 << 16):
                self._data += data
            self._complete = True
        return self._complete

    def _close(self) -> None:
        """Listen no more, and let the child end."""
        if not self._listen():  # while it has its end open it lives, and nobody else has its process id
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._pipe)
        self._pipe = -1

    def _reaped(self) -> bool:
        """Whether the child is gone, put to rest by us or by the master."""
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def _result(self, log: Log) -> Settings:
        """What the child found out. Raises ConfigError and StartError."""
        step = _READING
        for told in self._told():
            if isinstance(told, str):
                step = told
            elif isinstance(told, tuple):
                log.write(*told)
            elif isinstance(told, Settings):
                return told
            else:
                raise told
        if self._complete:
            raise StartError(f"process {self._pid} that reads the configuration has ended, {step}")
        raise StartError(f"configuration could not be read within {DEADLINE:g} seconds, {step}")

    def _told(self) -> list[Told]:
        told: list[Told] = []
        stream = io.BytesIO(self._data)
        with suppress(EOFError, pickle.UnpicklingError):  # the last of it may be on its way still
            while True:
                told.append(pickle.load(stream))
        return told


def _live(invocation: Invocation, pipe: int) -> int:
    """The child's life; returns its exit code. It has nothing but the pipe, and cannot stay for ever."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(int(2 * DEADLINE) + 1)
        gc.disable()  # a collection would copy all that is shared with the master
        title_reader()
        os.closerange(_FIRST_DESCRIPTOR, pipe)
        os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
        with os.fdopen(pipe, "wb") as stream:
            _tell_all(invocation, partial(_write, stream))
    except BaseException:  # it must not go on in the master's frames, which learns that nothing more will come
        return 1
    return 0


def _write(stream: BinaryIO, told: Told) -> None:
    pickle.dump(told, stream)
    stream.flush()


def _tell_all(invocation: Invocation, tell: Tell) -> None:
    try:
        settings = _read(invocation, tell)
        tell("reading users")
        for _ in UserFiles.read(settings.servers, lambda level, message: tell((level, message))):
            pass  # nobody else waits here
        _try_paths(settings, tell)
        tell(settings)
    except (ConfigError, StartError) as error:
        tell(error)
    except Exception as bug:
        tell((Level.ALERT, describe_bug(bug)))


def _read(invocation: Invocation, tell: Tell) -> Settings:
    contexts = TlsContexts(invocation.configuration.parent, lambda level, message: tell((level, message)))

    def resolve(host: str) -> list[str]:
        tell(f'looking up "{host}"')
        addresses = system_addresses(host)
        tell(_READING)
        return addresses

    def add(settings: SslSettings | None, backends: ProxySslSettings | None, protocol: str) -> None:
        tell("loading certificates")
        contexts.add(settings, backends, protocol)

    return invocation.read(lambda level, message: tell((level, message)), on_tls=add, resolve=resolve)


def _try_paths(settings: Settings, tell: Tell) -> None:
    """Touch what the master will open: whatever waits, waits here."""
    files = OpenFiles()
    try:
        for targets in {settings.core.error_log, *(server.error_log for server in settings.servers)}:
            tell("opening logs")
            open_logs(targets, files)
    finally:
        files.close()
    tell("looking at folders of sockets and of the pid file")
    listens = [listen.address for server in settings.servers for listen in server.listens]
    sockets = [Path(address.path) for address in listens if isinstance(address, UnixAddress)]
    for path in (settings.core.pid, *sockets):
        os.path.lexists(path)
