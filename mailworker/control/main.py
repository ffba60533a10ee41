"""mailworker-ctl queries and controls a running mailworker."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from mailworker import __version__
from mailworker.control.client import DEFAULT, VARIABLE, Client, NoAnswer, Refusal, default_path
from mailworker.control.commands import DONE, NO_ANSWER, NONE_MATCHED, SUBCOMMANDS, USAGE
from mailworker.errors import printable

NAME: Final = "mailworker-ctl"
_EPILOG: Final = f"""\
The socket is one of a "listen" in the control block of mailworker's configuration. Its path is that of --socket, of the
environment variable {VARIABLE}, or {DEFAULT}.

Exit codes: 0 done; 1 nothing matched, the reload failed, or the backend relays; 2 invalid or refused; 3 no answer.

Examples:
  {NAME} who                                      who is logged in
  {NAME} sessions -u '*@example.com' -o 1d        sessions of a domain that last for a day
  {NAME} kick bob@example.com --reason 'stolen'   end all sessions of a user
  {NAME} kick -b 192.0.2.7 --rate 20              empty a backend slowly
  {NAME} certificates --within 14                 certificates that expire within two weeks
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all options."""
    whole = argparse.ArgumentParser(
        NAME, description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("-S", "--socket", type=Path, default=default_path(), metavar="PATH", help="the control socket")
    whole.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    rows = whole.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    for row in SUBCOMMANDS:
        row.options(added := rows.add_parser(row.name, help=row.help, description=f"{row.help.capitalize()}."))
        added.set_defaults(run=row.run)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    found = parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of any language on a terminal that has only Latin-1
    slow = found.subcommand in ("kick", "reload", "probe-relay")  # they last until all is done
    try:
        with Client(found.socket, None if slow else 30.0) as client:
            code: int = found.run(client, found, print)
            print(end="", flush=True)
    except Refusal as error:
        _complain(str(error))
        return USAGE
    except NoAnswer as error:
        _complain(str(error))
        return NO_ANSWER
    except BrokenPipeError:  # as by `head`
        _discard_rest()
        return DONE
    except OSError as error:  # as of a full disk
        _complain(f"write() to stdout failed: {error.strerror}")
        _discard_rest()
        return NONE_MATCHED
    except KeyboardInterrupt:
        return USAGE
    return code


def _discard_rest() -> None:
    """Redirect stdout to /dev/null: at its end Python would try again, complain and exit with code 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    print(f"{NAME}: {printable(text)}", file=sys.stderr)
