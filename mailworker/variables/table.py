"""The variables that every session has: a row each, with nginx's name and value where nginx has one.

None is what nginx calls not found: `-` or nothing in a line, nothing anywhere else.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from mailworker import __version__
from mailworker.model import METHOD_NAMES, Address, InetAddress
from mailworker.variables.facts import Envelope, Facts
from mailworker.variables.tls_table import TLS

Function = Callable[[Facts], bytes | None]

_CLIENT_ID: Final = "imap_id_"
_NO_NAME: Final = re.compile(rb"[^a-z0-9]")
_VERSION: Final = __version__.encode()


def builtin(name: str) -> Function | None:
    """The row of a name in lower case, None where there is none."""
    field = name.removeprefix(_CLIENT_ID)
    return TABLE.get(name) if field in ("", name) else _client_id(field)


def _ip(address: Address) -> bytes:
    return address.host.encode() if isinstance(address, InetAddress) else b"unix:"


def _port(address: Address) -> bytes:
    return b"%d" % address.port if isinstance(address, InetAddress) else b""


def _packed(address: Address) -> bytes:
    if not isinstance(address, InetAddress):
        return b"unix:"
    return socket.inet_pton(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, address.host)


def _proxy_text(index: int) -> Function:
    def read(facts: Facts) -> bytes | None:
        texts = facts.proxy_texts
        return None if texts is None else texts[index]

    return read


def _local_part(facts: Facts) -> bytes | None:
    """Before the last "@"; all of a login that has none."""
    user = facts.remote_user
    return user if user is None or b"@" not in user else user.rpartition(b"@")[0]


def _domain(facts: Facts) -> bytes | None:
    """Behind the last "@"."""
    user = facts.remote_user
    return None if user is None else user.rpartition(b"@")[2] if b"@" in user else b""


def _method(facts: Facts) -> bytes | None:
    return None if facts.method is None else METHOD_NAMES[facts.method].directive.encode()


def _client_id(field: str) -> Function:
    """What an IMAP client has sent in ID under a name, where "_" stands for what no variable's name may hold."""

    def read(facts: Facts) -> bytes | None:
        fields = facts.client_id_fields.items()
        return next((value for name, value in fields if _NO_NAME.sub(b"_", name) == field.encode()), None)

    return read


def _envelope(read: Callable[[Envelope], bytes]) -> Function:
    return lambda facts: None if facts.envelope is None else read(facts.envelope)


def _now() -> datetime:
    return datetime.now().astimezone()


_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _time_local(_facts: Facts) -> bytes:
    """The Common Log Format's, whatever the locale."""
    now = _now()
    return f"{now:%d}/{_MONTHS[now.month - 1]}/{now:%Y:%H:%M:%S %z}".encode()


TABLE: Final[Mapping[str, Function]] = {
    "binary_remote_addr": lambda facts: _packed(facts.address),
    "remote_addr": lambda facts: _ip(facts.address),
    "remote_port": lambda facts: _port(facts.address),
    "realip_remote_addr": lambda facts: _ip(facts.peer),
    "realip_remote_port": lambda facts: _port(facts.peer),
    "proxy_protocol_addr": _proxy_text(0),
    "proxy_protocol_port": _proxy_text(1),
    "proxy_protocol_server_addr": _proxy_text(2),
    "proxy_protocol_server_port": _proxy_text(3),
    "server_addr": lambda facts: _ip(facts.local),
    "server_port": lambda facts: _port(facts.local),
    "server_name": lambda facts: facts.server_name,
    "protocol": lambda facts: facts.protocol.encode(),
    "connection": lambda facts: b"%d" % facts.number,
    "pid": lambda facts: b"%d" % os.getpid(),
    "hostname": lambda facts: socket.gethostname().lower().encode(),
    "nginx_version": lambda facts: _VERSION,
    "mailworker_version": lambda facts: _VERSION,
    "msec": lambda facts: f"{_now().timestamp():.3f}".encode(),
    "time_local": _time_local,
    "time_iso8601": lambda facts: _now().isoformat(timespec="seconds").encode(),
    "time_iso8601_ms": lambda facts: _now().isoformat(timespec="milliseconds").encode(),
    "remote_host": lambda facts: facts.host,
    "remote_user": lambda facts: facts.remote_user,
    "remote_user_local": _local_part,
    "remote_user_domain": _domain,
    "auth_user": lambda facts: facts.auth_user,
    "auth_method": _method,
    "auth_attempts": lambda facts: b"%d" % facts.attempts,
    "starttls": lambda facts: b"on" if facts.starttls else b"",
    "smtp_helo": lambda facts: facts.helo or None,
    "smtp_mail_from": _envelope(lambda envelope: envelope.mail),
    "smtp_rcpt_to": _envelope(lambda envelope: envelope.rcpt),
    "imap_id": lambda facts: facts.client_id or None,
    "session_id": lambda facts: facts.session_id,
    **TLS,
}
