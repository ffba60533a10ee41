"""The command line, with nginx's switches, messages and exit codes."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailworker import __version__
from mailworker.errors import StartError
from mailworker.log.line import describe
from mailworker.log.terminal import put_out, tell
from mailworker.native.tls import version
from mailworker.paths import CONFIGURATION, ERROR_LOG, GROUPS, LOCK, PID, PREFIX, USER
from mailworker.process import start
from mailworker.process.bug import describe_bug
from mailworker.process.invocation import Invocation
from mailworker.process.system.signals import COMMANDS

_USAGE = f"""\
Usage: mailworker [-?hvVtTq] [-s signal] [-p prefix]
                  [-e filename] [-c filename] [-g directives]

Options:
  -?,-h,--help  : this help
  -v,--version  : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: {PREFIX}/)
  -e filename   : set error log file (default: {ERROR_LOG})
  -c filename   : set configuration file (default: {CONFIGURATION})
  -g directives : set global directives out of configuration file
  --explain name: explain a directive, a variable, or why a session ended;
                  without a name: list all names
"""

_FLAGS = "?hvVtTq"
# The usual long names, which nginx does not have, of two flags.
_LONG = {"--help": "h", "--version": "v"}

# What each switch with a parameter requires, in nginx's words.
_PARAMETERS = {
    "c": "file name",
    "e": "file name",
    "g": "parameter",
    "p": "directory name",
    "s": "parameter",
}


class UsageError(Exception):
    """The command line is not valid; the text is nginx's."""


@dataclass(frozen=True, slots=True)
class Options:
    """The switches that were given, by their letters."""

    flags: frozenset[str]
    parameters: Mapping[str, str]

    def any(self, letters: str) -> bool:
        """Whether one of `letters` was given."""
        return not self.flags.isdisjoint(letters)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, with the program's name first, None for the process's own; gives the exit code."""
    arguments = sys.argv if argv is None else argv
    if arguments[1:2] == ["--explain"]:
        return _explain(arguments[2:])
    try:
        options = parse(arguments[1:])
    except UsageError as error:
        start.say(str(error))
        return 1
    if options.any("?hvV"):
        _show_version(options)
        if not options.any("tT"):
            return 0
    try:
        return _obey(arguments, options)
    except StartError as error:  # of a process that is its own worker
        start.say(f"[emerg] {error}")
        return 1
    except OSError as error:  # of a call that we need: a sandbox may refuse any call
        start.say(f"[emerg] {describe_bug(error)}")
        return 1


def _obey(arguments: Sequence[str], options: Options) -> int:
    try:
        invocation = _invocation(arguments, options)
    except OSError as error:
        start.say(f"[emerg]: getcwd() failed {describe(error)}")
        return 1
    if options.any("tT"):
        return start.test(invocation, quiet=options.any("q"), dump=options.any("T"))
    if "s" in options.parameters:
        return start.send_signal(invocation, COMMANDS[options.parameters["s"]])
    return start.start(invocation)


def _explain(names: Sequence[str]) -> int:
    from mailworker.reference.explain import UnknownName, explain, names_of_all  # noqa: PLC0415 - no worker needs it

    try:
        put_out("\n".join(map(explain, names) if names else [*names_of_all(), ""]).encode())
    except (UnknownName, StartError) as error:
        start.say(str(error))
        return 1
    return 0


def parse(arguments: Sequence[str]) -> Options:
    """Parse the switches as nginx does: bundled, with parameters attached or separate. Raises UsageError."""
    flags: set[str] = set()
    parameters: dict[str, str] = {}
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("-"):
            raise UsageError(f'invalid option: "{argument}"')
        if argument in _LONG:
            flags.add(_LONG[argument])
            continue
        for position, letter in enumerate(argument[1:], start=2):
            if letter in _PARAMETERS:
                parameters[letter] = _parameter(letter, argument[position:] or next(remaining, None))
                break
            if letter not in _FLAGS:
                raise UsageError(f'invalid option: "{letter}"')
            flags.add(letter)
    return Options(frozenset(flags), parameters)


def _parameter(letter: str, value: str | None) -> str:
    if value is None:
        raise UsageError(f'option "-{letter}" requires {_PARAMETERS[letter]}')
    if letter == "s" and value not in COMMANDS:
        raise UsageError(f'invalid option: "-s {value}"')
    return value


def _invocation(arguments: Sequence[str], options: Options) -> Invocation:
    """Raises OSError if the prefix is relative and the working directory was removed."""
    given = options.parameters
    prefix = Path(given.get("p", PREFIX)).absolute()
    error_log = given.get("e", ERROR_LOG)
    return Invocation(
        arguments=tuple(arguments),
        prefix=prefix,
        configuration=prefix / given.get("c", CONFIGURATION),
        error_log=None if error_log in ("stderr", "") else prefix / error_log,
        globals=given.get("g", ""),
    )


def _show_version(options: Options) -> None:
    lines = [f"mailworker version: mailworker/{__version__}"]
    if options.any("?h"):
        lines.extend(_USAGE.split("\n"))
    if options.any("V"):
        lines.append(f"running on Python {platform.python_version()}")
        built, running = version.built_with(), version.running_with()
        lines.append(f"built with {built}" + (f" (running with {running})" if running != built else ""))
        lines.append("TLS SNI support enabled")
        lines.append(
            f"configure arguments: --prefix={PREFIX} --conf-path={CONFIGURATION} --error-log-path={ERROR_LOG} "
            f"--pid-path={PID} --lock-path={LOCK} --user={USER} --group={GROUPS[0]} --with-mail_ssl_module"
        )
    tell(*lines)
