"""Reading a configuration, and opening logs, in a child of the master, which must never block.

`getaddrinfo` waits for a silent name server for half a minute, and open() for a dead mount for ever. Meanwhile the
master must handle signals, replace workers and notify a watchdog.
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
from mailworker.process.cycle import shown_listens
from mailworker.process.invocation import Invocation
from mailworker.process.steps import at_once
from mailworker.process.system.inherited_state import close_all_but
from mailworker.process.system.titles import title_child
from mailworker.process.tls_contexts import TlsContexts
from mailworker.process.user_files import UserFiles

DEADLINE: Final = 60.0
"""Seconds: somewhat longer than the system's resolver tries to look up a name."""

# Seconds between two reads of the child's messages.
_PAUSE = 0.01

# Seconds to wait until a child that is done, or killed, has exited. If it hangs at a dead disk, it is left alone.
_LONGEST_END = 1.0

_READING = "reading a file"

# Messages of the child: its next step, a line for the log, and as the last one its result, or the reason for none.
Message = str | tuple[Level, str] | Settings | None | ConfigError | StartError
Send = Callable[[Message], None]
Result = TypeVar("Result", bound=Settings | None)


@dataclass(frozen=True, slots=True)
class Job(Generic[Result]):
    """The child's job. The texts are parts of log messages: "while DOING", "process PID that DOES", and what failed."""

    run: Callable[[Send], Result]
    doing: str
    does: str
    failure: str


def read_configuration(invocation: Invocation, users: UserFiles) -> Job[Settings]:
    """Read the settings, and try everything that they name: files, certificates, logs, host names.

    User files that are unchanged since `users` were read are not read again.
    """
    run = partial(_read_and_try, invocation, users)
    return Job(run, "reading the configuration", "reads the configuration", "configuration could not be read")


def open_logs_first(paths: Iterable[Path]) -> Job[None]:
    """Open log files once. The master opens them afterwards, without waiting, and reports errors itself."""
    return Job(partial(_open_logs, tuple(paths)), "reopening logs", "reopens logs", "logs could not be reopened")


class Reader(Generic[Result]):
    """The child, and the pipe for its messages."""

    __slots__ = ("_complete", "_data", "_job", "_pid", "_pipe")

    def __init__(self, job: Job[Result]) -> None:
        """Raises StartError."""
        self._job = job
        self._complete = False
        self._data = bytearray()
        try:
            self._pipe, theirs = os.pipe()
        except OSError as error:
            raise StartError(f"pipe() failed while {job.doing} {describe(error)}") from None
        try:
            self._pid = os.fork()
        except OSError as error:
            os.close(self._pipe)
            os.close(theirs)
            raise StartError(f"fork() failed while {job.doing} {describe(error)}") from None
        if self._pid == 0:
            os._exit(_run_child(job, theirs))
        os.close(theirs)
        os.set_blocking(self._pipe, False)

    def read(self, log: Log) -> Generator[float, None, Result]:
        """The child's result.

        Yields the seconds to wait before it is resumed. Warnings go to `log`. Raises ConfigError and StartError, also
        after DEADLINE seconds. Afterwards, or when this generator is closed, a child that still runs is killed.
        """
        until = monotonic() + DEADLINE
        try:
            while not self._receive() and monotonic() < until:
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

    def _receive(self) -> bool:
        """Receive messages; returns whether there will be no more, as the child has closed its end."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, 1 << 16):
                self._data += data
            self._complete = True
        return self._complete

    def _close(self) -> None:
        """Close the pipe, and kill the child if it still runs."""
        try:
            if not self._receive():  # its end is open, so it runs, and its process id is valid
                os.kill(self._pid, signal.SIGKILL)
        finally:
            os.close(self._pipe)
            self._pipe = -1

    def _reaped(self) -> bool:
        """Whether the child has exited, and was reaped here or by the master."""
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def _result(self, log: Log) -> Result:
        """The result among the child's messages. Raises ConfigError and StartError."""
        step = self._job.doing
        for message in self._messages():
            if isinstance(message, str):
                step = message
            elif isinstance(message, tuple):
                log.write(*message)
            elif isinstance(message, ConfigError | StartError):
                raise message
            else:
                return message
        if self._complete:
            raise StartError(f"process {self._pid} that {self._job.does} has ended, {step}")
        raise StartError(f"{self._job.failure} within {DEADLINE:g} seconds, {step}")

    def _messages(self) -> Iterator[str | tuple[Level, str] | ConfigError | StartError | Result]:
        stream = io.BytesIO(self._data)
        with suppress(EOFError, pickle.UnpicklingError):  # the last message may be incomplete
            while True:
                yield pickle.load(stream)


def _run_child(job: Job[Result], pipe: int) -> int:
    """Run the child; returns its exit code. It keeps no descriptor but the pipe, and SIGALRM ends it in any case."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(int(2 * DEADLINE) + 1)
        gc.disable()  # the collector would copy the memory that is shared with the master
        title_child("configuration reader")
        close_all_but(pipe)
        with os.fdopen(pipe, "wb") as stream:
            _run_job(job, partial(_write, stream))
    except BaseException:  # it must not propagate into the code of the master, which notices the end of messages
        return 1
    return 0


def _write(stream: BinaryIO, message: Message) -> None:
    pickle.dump(message, stream)
    stream.flush()


def _run_job(job: Job[Result], send: Send) -> None:
    try:
        send(job.run(send))
    except (ConfigError, StartError) as error:
        send(error)
    except Exception as bug:
        send((Level.ALERT, describe_bug(bug)))


def _send_warning(send: Send, level: Level, message: str) -> None:
    send((level, message))


def _read_and_try(invocation: Invocation, users: UserFiles, send: Send) -> Settings:
    send(_READING)
    settings = _read(invocation, send)
    send("reading users")
    sources = [server.source for server in settings.servers]
    at_once(UserFiles.read(sources, partial(_send_warning, send), users))
    _try_paths(settings, send)
    return settings


def _read(invocation: Invocation, send: Send) -> Settings:
    warn = partial(_send_warning, send)
    contexts = TlsContexts(invocation.configuration.parent, warn)

    def resolve(host: str) -> list[str]:
        send(f'looking up "{host}"')
        addresses = system_addresses(host)
        send(_READING)
        return addresses

    def add(settings: SslSettings | None, backends: ProxySslSettings | None, protocol: str) -> None:
        send("loading certificates")
        contexts.add(settings, backends, protocol)

    return invocation.read(warn, on_tls=add, resolve=resolve)


def _try_paths(settings: Settings, send: Send) -> None:
    """Open what the master will open, as that may block."""
    files = OpenFiles()
    try:
        for targets in {settings.core.error_log, *(server.error_log for server in settings.servers)}:
            send("opening logs")
            open_logs(targets, files)
        for path in literal_paths(settings.destinations):
            files.open(path)
    finally:
        files.close()
    send("checking the folders of sockets and of the pid file")
    listens = (*(listen for server in settings.servers for listen in server.listens), *shown_listens(settings))
    sockets = [Path(listen.address.path) for listen in listens if isinstance(listen.address, UnixAddress)]
    for path in (settings.core.pid, *sockets):
        os.path.lexists(path)


def _open_logs(paths: Iterable[Path], send: Send) -> None:
    files = OpenFiles()
    try:
        for path in paths:
            send(f'opening "{path}"')
            with suppress(StartError):  # the master gets the same error, and reports it
                files.open(path)
    finally:
        files.close()
