"""Numbers at the edges of what machines count with, in every directive: a verdict with its place, never a traceback."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from mailworker import cli
from mailworker.config.command import Command
from mailworker.config.drafts import Context
from mailworker.config.load import directives as all_directives
from mailworker.config.load import load
from mailworker.errors import ConfigError
from mailworker.mail.protocols.table import PROTOCOLS
from tests.process.conftest import Install
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer
from tests.support.certificates import self_signed
from tests.support.peer import Peer
from tests.support.ports import Ports

EDGES = [str(number) for number in (0, -1, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64)]

# Where a number stands in a word that holds more.
WORDS = {
    "listen": ["127.0.0.1:$port backlog=%s", "127.0.0.1:$port rcvbuf=%s", "127.0.0.1:$port sndbuf=%s",
               "127.0.0.1:$port so_keepalive=%s", "127.0.0.1:$port so_keepalive=:%s",
               "127.0.0.1:$port so_keepalive=::%s", "127.0.0.1:%s", "%s-%s"],
    "error_log": ["memory:%s", "syslog:server=127.0.0.1:%s"],
    "resolver": ["127.0.0.1 valid=%s", "127.0.0.1:%s"],
    "ssl_session_cache": ["builtin:%s", "shared:zone:%s"],
    "worker_cpu_affinity": ["auto %s"],
    "set_real_ip_from": ["10.0.0.0/%s"],
    "debug_connection": ["10.0.0.0/%s"],
    "allow": ["10.0.0.0/%s"],
    "deny": ["::/%s"],
    "auth_http": ["127.0.0.1:%s"],
    "thread_pool": ["name threads=%s"],
}  # fmt: skip
COMMANDS = [command for command in all_directives(PROTOCOLS) if not command.block]
# Directives that a start may have at their edges: they start no more workers, write nothing, and let it end.
_COUNTING = ("worker_", "timer_", "accept_", "epoll_", "max_", "proxy_", "auth_http_", "ssl_")
_TIMES_AND_SIZES = ("timeout", "_buffer", "_delay")
_OUT_OF_BOUNDS = "value must be between 0 and 2147483647"
_64_BITS = pytest.mark.skipif(sys.maxsize < 2**32, reason="32 bits hold no larger number, and no memory of that size")
AT_THEIR_LARGEST = {
    command.name
    for command in COMMANDS
    if command.name.startswith(_COUNTING) or command.name.endswith(_TIMES_AND_SIZES)
} - {"worker_processes", "worker_cpu_affinity", "shutdown_delay"}
LARGEST = [str(2**63 - 1), "9223372036854775", str(2**31 - 1)]
# Without those that let nobody in, or end every session, where they are 0.
AT_THEIR_SMALLEST = AT_THEIR_LARGEST - {
    *("worker_connections", "worker_rlimit_nofile", "timeout", "max_errors", "max_commands"),
    *("proxy_buffer", "imap_client_buffer", "auth_http_timeout", "proxy_timeout"),
}


def text(context: Context, directive: str, tls: str = "", listen: str = "listen 127.0.0.1:$port") -> str:
    """A configuration with one directive more, in the outermost block that it may stand in, or in a server."""
    blocks = (Context.MAIN, Context.EVENTS, Context.SERVER, Context.MAIL, Context.STATUS, Context.CONTROL)
    place = next(block for block in blocks if block in context)
    main, events, server, mail, status, control = (f"{directive};" if block is place else "" for block in blocks)
    listens = "" if server.startswith("listen ") else f"{listen};"
    return (
        f"{main} events {{ {events} }} {f'status {{ {status} }}' if status else ''}\n"
        f"{f'control {{ {control} }}' if control else ''}\n"
        f"mail {{ auth_http 127.0.0.1:9; {tls} {mail} server {{ {listens} protocol imap; {server} }} }}"
    )


def directives(command: Command, number: str) -> Iterable[str]:
    """The directive with `number` in every place that may have one."""
    patterns = [" ".join(["%s"] * max(command.arity.least, 1)), *WORDS.get(command.name, [])]
    return [f"{command.name} {pattern.replace('%s', number)}" for pattern in patterns]


@pytest.mark.parametrize("command", COMMANDS, ids=[f"{each.name}-{each.contexts}" for each in COMMANDS])
def test_every_directive_takes_or_refuses_numbers_at_the_edges(
    command: Command, tmp_path: Path, ports: Ports, capfd: pytest.CaptureFixture[str]
) -> None:
    tls = ""
    if "ssl" in command.name:
        made = self_signed(tmp_path, "tls", "/CN=mail.example")
        tls = (
            f"ssl_certificate {made.certificate}; ssl_certificate_key {made.key}; starttls on;"
            f"proxy_ssl on; proxy_ssl_trusted_certificate {made.certificate};"
            "ssl_verify_client optional_no_ca; proxy_ssl_verify on;"
        )
    (tmp_path / "logs").mkdir()
    path = tmp_path / "mailworker.conf"
    for number in EDGES:
        for directive in directives(command, number):
            path.write_text(text(command.contexts, directive, tls).replace("$port", str(ports["first"])))
            code = cli.main(["mailworker", "-t", "-p", str(tmp_path), "-c", str(path)])
            told = capfd.readouterr().err
            assert "Traceback" not in told
            assert code == 0 or re.search(r"\[(emerg|crit)\] ", told), f"{directive}: {told}"


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("listen 127.0.0.1:1 backlog=2147483648;", 'invalid backlog "backlog=2147483648"'),
        ("listen 127.0.0.1:1 rcvbuf=4294967297;", 'invalid rcvbuf "rcvbuf=4294967297"'),
        ("listen 127.0.0.1:1 sndbuf=2097152k;", 'invalid sndbuf "sndbuf=2097152k"'),
        ("listen 127.0.0.1:1 so_keepalive=::2147483648;", 'invalid so_keepalive value: "::2147483648"'),
        pytest.param("listen 1; ssl_verify_depth 2147483648;", _OUT_OF_BOUNDS, marks=_64_BITS),
        ("listen 1; proxy_buffer 2g;", '"proxy_buffer" directive invalid value'),
        pytest.param("listen 1; imap_client_buffer 2048m;", _OUT_OF_BOUNDS, marks=_64_BITS),
    ],
)
def test_a_number_too_large_is_told_with_its_place(tmp_path: Path, server: str, message: str) -> None:
    path = tmp_path / "c.conf"
    path.write_text(f"events {{}} mail {{ auth_http 127.0.0.1;\nserver {{ protocol imap; {server} }} }}")
    with pytest.raises(ConfigError) as error:
        load(path, protocols=PROTOCOLS, prefix=tmp_path)
    assert str(error.value) == f"{message} in {path}:2"


def taken(folder: Path, command: Command, numbers: Iterable[str]) -> str:
    """The directive with the first of `numbers` that it takes; empty where it takes none."""
    path = folder / "probe.conf"
    for number in numbers:
        directive = f"{command.name} {number}"
        path.write_text(text(command.contexts, directive, listen="listen 1"))
        try:
            load(path, protocols=PROTOCOLS, prefix=folder)
        except ConfigError:
            continue
        return f"{directive};"
    return ""


def in_block(folder: Path, block: Context, names: Iterable[str], numbers: Iterable[str]) -> str:
    found = [command for command in COMMANDS if command.name in names and block in command.contexts]
    return " ".join(taken(folder, command, numbers) for command in found)


@pytest.mark.parametrize(
    ("names", "numbers", "listen"),
    [
        pytest.param(
            *(AT_THEIR_LARGEST, LARGEST, "backlog=2147483647 rcvbuf=2147483647 so_keepalive=2147483647:2147483647:1"),
            marks=_64_BITS,
        ),
        (AT_THEIR_SMALLEST, ["0"], "backlog=1 rcvbuf=0 sndbuf=0"),
    ],
    ids=["largest", "smallest"],
)
def test_a_login_succeeds_with_every_number_at_its_edge(
    install: Install, port: int, folder: Path, names: set[str], numbers: list[str], listen: str
) -> None:
    def backend(peer: Peer) -> None:
        peer.send(b"* OK ready\r\n")
        for reply in (b"+ OK\r\n", b"+ OK\r\n", b"a OK in\r\n"):
            peer.until(b"\r\n")
            peer.send(reply)
        peer.rest()

    mailbox = ScriptedServer(backend)
    service = AuthService(accepted(mailbox.address))
    blocks = {block: in_block(folder, block, names, numbers) for block in (Context.MAIN, Context.EVENTS)}
    server = in_block(folder, Context.SERVER, names, numbers)
    mailworker = install(
        f"error_log logs/error.log info; error_log memory:64m debug; {blocks[Context.MAIN]}"
        f"events {{ {blocks[Context.EVENTS]} }} mail {{ auth_http {service.address};"
        f"server {{ listen 127.0.0.1:{port} {listen}; protocol imap; {server} }} }}"
    )
    mailworker.alerts = [r"(?:setrlimit\(\w+, \d+\)|setpriority\(\d+\)) failed \(\d+: ", r"failed, ignored \(22: "]
    mailworker.start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        client = Peer(connection)
        client.expect(b"* OK IMAP4 ready\r\n")
        client.send(b"a LOGIN u p\r\n")
        client.expect(b"a OK in\r\n")
        mailworker.signal(signal.SIGHUP)
        mailworker.await_line("exit|exiting|gracefully")
    mailworker.signal(signal.SIGQUIT)
    assert mailworker.await_exit() == 0
    service.stop()
    mailbox.stop()
