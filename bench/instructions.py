"""The user-space instructions of a login, counted by valgrind's callgrind.

Unlike time, they are nearly the same in every run. A server is started twice and serves two numbers of logins; the cost
of one login is the difference.
"""

from __future__ import annotations

import compileall
import re
import signal
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil

import mailworker
from bench.arena import COMMANDS, Arena, Setup, opened_arena, setup_for
from bench.logins import KEEPALIVE, kind_of
from bench.programs import Load
from tests.support.daemon import Daemon, ServerUnavailable, accepts, find_program

FEW, MANY = 100, 400
TIMEOUT = 300.0  # seconds to start, and to end: under valgrind everything takes some fifty times as long
# Measures that nginx has no counterpart for: they are compared with a plain login of our own.
OWN = (
    *("imap-login-access-combined", "imap-login-access-json"),
    *("sieve-login", "imap-login-limit-auth", "imap-login-limit-conn", "imap-login-limits"),
    *("imap-login-status", "imap-login-sessions", "imap-login-control"),
)
NAMES = (
    *("imap-login", "pop3-login", "smtp-login", "imap-keepalive"),
    *("imap-login-auth-upstream", "pop3-login-auth-upstream", "smtp-login-auth-upstream"),
    *("imap-login-varied", "pop3-login-varied", "smtp-login-varied"),
    *OWN,
    *("imaps-tls13", "imaps-tls12-rsa", "imaps-tls12-id", "imaps-tls13-id", "imaps-tls12-ticket", "imaps-tls13-ticket"),
)
OTHERS = dict.fromkeys(OWN, ("mailworker", "imap-login"))
LINE = "{:<26} {:>10} {:>12} {:>6} {:>8}"

LIMIT_AUTH = (
    "limit_auth_zone $binary_remote_prefix zone=fail:8m rate=6r/m; limit_auth zone=fail burst=100 nodelay ban=15m; "
    "auth_delay 2s max=15s zone=fail; limit_auth_exempt 10.0.0.0/8;"
)
LIMIT_CONN = "limit_conn_zone $remote_user zone=user:10m; limit_conn user 40;"

# Additional directives of the server while a measure runs; nginx has none of them.
EXTRAS = {
    ("mailworker", "keepalive"): KEEPALIVE,
    ("mailworker", "login-access-combined"): "access_log access.log combined;",
    ("mailworker", "login-access-json"): "access_log access.log json;",
    ("mailworker", "login-limit-auth"): LIMIT_AUTH,
    ("mailworker", "login-limit-conn"): LIMIT_CONN,
    ("mailworker", "login-limits"): f"{LIMIT_AUTH} {LIMIT_CONN}",
}

# The same for the main context, with a master and a worker, as a single process counts and lists nothing. That change
# alone takes a hundred instructions less.
ALONE = "master_process off;"
MAINS = {
    "login-status": "status {{ listen unix:{folder}/status; }}",
    "login-sessions": "session_table 1024;",
    "login-control": "status {{ listen unix:{folder}/status; }} control {{ listen unix:{folder}/control; }}",
}


def count_instructions(names: Sequence[str]) -> None:
    """Print the instructions of one login for each of `names`, which are from NAMES; for all of NAMES without one.

    Raises ServerUnavailable.
    """
    valgrind = find_program("valgrind")
    counted = cache(_of_one_login)  # several measures have the same rival
    print(LINE.format("instructions", *COMMANDS, "ratio", "more"))
    with opened_arena() as arena:
        for name in names or NAMES:
            theirs = counted(valgrind, arena, *OTHERS.get(name, ("nginx", name)))
            ours = counted(valgrind, arena, "mailworker", name)
            print(LINE.format(name, theirs, ours, f"{ours / theirs:.1f}", ours - theirs), flush=True)


def _of_one_login(valgrind: str, arena: Arena, server: str, name: str) -> int:
    before = _sources()
    few, many = (_of_all(valgrind, arena, server, name, count) for count in (FEW, MANY))
    if _sources() != before:
        raise ServerUnavailable("mailworker has changed between two runs")
    if many <= few:
        raise ServerUnavailable(f"{server} took {few} instructions for {FEW} logins of {name}, and {many} for {MANY}")
    return round((many - few) / (MANY - FEW))


def _of_all(valgrind: str, arena: Arena, server: str, name: str, logins: int) -> int:
    """The instructions of the process that serves, from the start of the server to its end."""
    _compile()
    folder = arena.new_folder(server)
    text, load = prepared(arena, server, name, logins)
    report = folder / "report"
    main = MAINS.get(way_of(name), ALONE).format(folder=folder)
    command = [
        # Otherwise dictionaries have different collisions in each run, which changes the count by some thousand.
        *("env", "PYTHONHASHSEED=0"),
        # Workers could not write the profile, as they have another user.
        *(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={report}.%p"),
        *COMMANDS[server](folder, f"{main}\n{text}"),
    ]
    daemon = Daemon(command, folder / "output")
    try:
        daemon.await_ready(lambda: accepts(("127.0.0.1", load.port)), TIMEOUT)
        arena.clients.run(load)
        serving = _serving(daemon.pid)
    finally:
        daemon.stop(TIMEOUT, signal.SIGQUIT)  # on SIGQUIT a slow process is not killed, and reports its count
    collected = re.search(r"Collected : (\d+)", Path(f"{report}.{serving}").read_text())
    assert collected is not None
    return int(collected[1])


def _compile() -> None:
    """Compile all of mailworker to bytecode, which it does not write itself: that takes two billion instructions.

    If another program did so between two runs, more logins would cost less than few.
    """
    compileall.compile_dir(_package(), quiet=2)


def _sources() -> dict[Path, int]:
    """When each file was changed that a server may run."""
    return {path: path.stat().st_mtime_ns for path in _package().rglob("*") if path.suffix in {".py", ".so"}}


def _package() -> Path:
    return Path(mailworker.__file__).parent


def prepared(arena: Arena, server: str, name: str, logins: int) -> tuple[str, Load]:
    """The configuration of `server` for so many logins of `name`, but for the main context, and these logins."""
    kind = kind_of(name)
    text, ports = arena.configuration(setup_of(server, name))
    port = ports[kind.protocol, bool(kind.version)]
    return text, Load(port, kind.protocol, count=logins, version=kind.version, resume=kind.resume)


def setup_of(server: str, name: str) -> Setup:
    """The setup of `server` for `name`, with the directives that its logins need."""
    return setup_for(server, name, kind_of(name).extra or EXTRAS.get((server, way_of(name)), ""))


def way_of(name: str) -> str:
    """What the name of a measure says behind its protocol: how clients log in."""
    return name.partition("-")[2]


def _serving(server: int) -> int:
    """The process that serves: a worker starts after the helpers, whose start varies from run to run."""
    children = psutil.Process(server).children()
    return max(children, key=psutil.Process.create_time).pid if children else server
