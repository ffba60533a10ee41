"""The actions of the command line: start mailworker, test its configuration, signal it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable
from pathlib import Path
from signal import Signals

from mailworker.errors import ConfigError, StartError
from mailworker.log.line import describe
from mailworker.log.log import Console, Log, OpenFiles
from mailworker.log.sinks import StderrSink
from mailworker.log.terminal import put_out, tell
from mailworker.model import Level
from mailworker.process.checks import check_settings
from mailworker.process.cycle import Cycle
from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.handover.zones import take_over
from mailworker.process.invocation import Invocation
from mailworker.process.master import Master
from mailworker.process.notices import log_event_method, log_refusal, log_room, log_system, log_trust
from mailworker.process.origin import Origin
from mailworker.process.single import SingleProcess
from mailworker.process.system import pid_file
from mailworker.process.system.daemon import Starter, become_daemon
from mailworker.process.system.inherited_state import foreign_descriptors
from mailworker.process.system.service_manager import ServiceManager
from mailworker.process.system.titles import find_title

_FAILURE = 1


def start(invocation: Invocation) -> int:
    """Run mailworker until its end; returns the exit code. The parent of a daemon exits here."""
    process = _prepare(invocation)  # not inlined: a variable here would keep the first cycle after a reload
    if process is None:
        return _FAILURE
    try:
        return process.run()
    finally:
        # Python before 3.12 crashes when it collects reference cycles with a memoryview, as at exit.
        gc.freeze()


def _prepare(invocation: Invocation) -> Master | SingleProcess | None:
    """Prepare to serve; None after an error, which is logged."""
    foreign = foreign_descriptors(os.environ)
    console = Console()
    files = OpenFiles()
    log = open_early_log(invocation.error_log, Level.NOTICE, files, console)
    find_title()
    manager = ServiceManager(os.environ)
    inheritance = Inheritance.receive(os.environ, log)
    try:
        cycle = Cycle.load(invocation, log)
        for pause in cycle.open(inheritance.listeners, console):
            time.sleep(pause)
    except (ConfigError, StartError) as error:
        log_refusal(log, error)
        return None
    files.close()
    inheritance.close_unused(cycle.listeners, cycle.log)
    take_over(inheritance.zones, cycle.zones)
    log_event_method(cycle.log)
    log_room(cycle.log, cycle.settings)
    log_system(cycle.log)
    log_trust(cycle.log, cycle.settings)
    daemonised = cycle.settings.core.daemon or inheritance.from_master
    starter = Starter()
    try:
        if cycle.settings.core.daemon and not inheritance.from_master:
            starter = become_daemon(cycle.descriptors)
            foreign = ()  # closed
        return _take_office(Origin(invocation, inheritance, manager, daemonised, starter, foreign), cycle, console)
    except StartError as error:
        log_refusal(cycle.log, error)
        cycle.close(shared=inheritance.from_master)
        starter.fails()
        return None


def _take_office(origin: Origin, cycle: Cycle, console: Console) -> Master | SingleProcess:
    core = cycle.settings.core
    process = (Master if core.master_process else SingleProcess)(origin, cycle)
    process.hold_signals()
    pid_file.write(core.pid)
    console.close()
    cycle.redirect_stderr()
    return process


def test(invocation: Invocation, *, quiet: bool, dump: bool) -> int:
    """Check the configuration and everything that it names, and report on stderr; `dump` prints its files on stdout.

    `quiet` leaves out the messages of success. Returns the exit code.
    """
    files = OpenFiles()
    log = open_early_log(invocation.error_log, Level.INFO, files, Console())
    path = invocation.configuration
    try:
        cycle = Cycle.load(invocation, log, lambda: _say_unless(quiet, f"the configuration file {path} syntax is ok"))
        pid_file.check(cycle.settings.core.pid)
        cycle.test()
        log_room(log, cycle.settings)
        for warning in check_settings(cycle.settings, cycle.watched.folders):
            log.write(Level.WARN, warning)
    except (ConfigError, StartError) as error:
        log_refusal(log, error)
        say(f"configuration file {path} test failed")
        return _FAILURE
    finally:
        files.close()
    _say_unless(quiet, f"configuration file {path} test is successful")
    return _dump(cycle.settings.files) if dump else 0


def send_signal(invocation: Invocation, signal: Signals) -> int:
    """Send a signal to the running master, whose pid file the configuration names; returns the exit code."""
    files = OpenFiles()
    log = open_early_log(invocation.error_log, Level.NOTICE, files, Console())
    try:
        settings = invocation.read(log.write)
    except ConfigError as error:
        log_refusal(log, error)
        return _FAILURE
    log.write(Level.NOTICE, "signal process started")
    try:
        pid = pid_file.read(settings.core.pid)
    except StartError as error:
        log.write(Level.ERROR, str(error))
        return _FAILURE
    try:
        os.kill(pid, signal)
    except (OSError, OverflowError) as error:
        reason = describe(error) if isinstance(error, OSError) else "(3: No such process)"
        log.write(Level.ALERT, f"kill({pid}, {signal.value}) failed {reason}")
        return _FAILURE
    return 0


def open_early_log(path: Path | None, level: Level, files: OpenFiles, console: Console) -> Log:
    """The log before the configured ones are open: the file `path`, or stderr if it is None or cannot be opened."""
    if path is not None:
        try:
            return Log([(level, files.open(path))], console)
        except StartError as error:
            say(f"[alert] could not open error log file: {error}")
    return Log([(level, StderrSink())], console)


def say(text: str) -> None:
    """Print a message on stderr."""
    tell(f"mailworker: {text}")


def _say_unless(quiet: bool, text: str) -> None:
    if not quiet:
        say(text)


def _dump(files: Iterable[tuple[Path, bytes]]) -> int:
    try:
        put_out(b"".join(b"# configuration file %s:\n%s\n" % (os.fsencode(path), text) for path, text in files))
    except StartError as error:
        say(f"[emerg] {error}")
        return _FAILURE
    return 0
