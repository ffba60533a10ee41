"""The built-in variables, with nginx's names and values as far as nginx has them.

None is nginx's "not found": an absent value, which is `-` or empty in a log line, and empty elsewhere.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from mailworker import __version__
from mailworker.model import METHOD_NAMES, MONTHS, Address, AuthMethod, InetAddress
from mailworker.variables.facts import Ending, Envelope, Evaluate, Facts, Try
from mailworker.variables.prefix import packed_prefix, spelled_prefix
from mailworker.variables.source import Kind, Source, at
from mailworker.variables.tls_table import TLS
from mailworker.variables.tlv import PREFIX as TLV_PREFIX
from mailworker.variables.tlv import tlv_variable

HEADER_PREFIX: Final = "auth_http_"
"""The prefix of variables that are headers of the auth service's answer."""

_PASSWORD: Final = "auth_pass"
_CLIENT_ID: Final = "imap_id_"
_NO_NAME: Final = re.compile(rb"[^a-z0-9]")
_VERSION: Final = __version__.encode()


def builtin(name: str) -> Evaluate | None:
    """The function of a variable, by its name in lower case; None if there is no such variable."""
    function = TABLE.get(name)
    if function is not None:
        return function
    if name.startswith(TLV_PREFIX):
        return tlv_variable(name.removeprefix(TLV_PREFIX))
    field = name.removeprefix(_CLIENT_ID)
    if field not in ("", name):
        return _client_id(field)
    header = name.removeprefix(HEADER_PREFIX)
    return None if header in ("", name, _PASSWORD) else lambda facts: facts.auth_header(header)


def _ip(address: Address) -> bytes:
    return address.host.encode() if isinstance(address, InetAddress) else b"unix:"


def _port(address: Address) -> bytes:
    return b"%d" % address.port if isinstance(address, InetAddress) else b""


def _number(value: int | None) -> bytes:
    return b"" if value is None else b"%d" % value


def _packed(facts: Facts) -> bytes:
    if facts.port is None:
        return b"unix:"
    return socket.inet_pton(socket.AF_INET6 if ":" in facts.client else socket.AF_INET, facts.client)


def _prefix(facts: Facts) -> bytes:
    return b"unix:" if facts.port is None else packed_prefix(facts.client, facts.prefix_lengths)


def _spelled_prefix(facts: Facts) -> bytes:
    return b"unix:" if facts.port is None else spelled_prefix(_prefix(facts), facts.prefix_lengths).encode()


def _proxy_text(index: int) -> Evaluate:
    def read(facts: Facts) -> bytes | None:
        texts = facts.proxy_texts
        return None if texts is None else texts[index]

    return read


def _local_part(facts: Facts) -> bytes | None:
    """The part of a login before the last "@"; the whole login if it has none."""
    user = facts.remote_user
    return user if user is None or b"@" not in user else user.rpartition(b"@")[0]


def _domain(facts: Facts) -> bytes | None:
    """The part of a login after the last "@"."""
    user = facts.remote_user
    return None if user is None else user.rpartition(b"@")[2] if b"@" in user else b""


_METHODS: Final = {method: names.directive.encode() for method, names in METHOD_NAMES.items()}


def _client_id(field: str) -> Evaluate:
    """The value of a field of an IMAP client's ID; "_" matches all characters that variable names cannot have."""

    def read(facts: Facts) -> bytes | None:
        fields = facts.client_id_fields.items()
        return next((value for name, value in fields if _NO_NAME.sub(b"_", name) == field.encode()), None)

    return read


def _envelope(read: Callable[[Envelope], bytes]) -> Evaluate:
    return lambda facts: None if facts.envelope is None else read(facts.envelope)


def _of_end(read: Callable[[Ending], bytes]) -> Evaluate:
    return lambda facts: None if facts.reason is None else read(facts.reason)


_STATUSES: Final = {"failure": b"403", "login": b"200"}
_STATUS_503: Final = b"503"


def status(facts: Facts) -> bytes | None:
    """The status, as in nginx's stream module, of the session's end, or of a login; None before both.

    A session that ends with a temporary refusal has 503, as its client is not at fault.
    """
    reason = facts.reason
    if reason is None:
        return _STATUS_503 if facts.event == "failure" and facts.refused_for_now else _STATUSES.get(facts.event or "")
    return _STATUS_503 if reason.word == "auth_failed" and facts.refused_for_now else b"%d" % reason.status


@lru_cache(maxsize=4096)  # there are few backends and many logins
def address_text(backend: str | None) -> bytes:
    """A backend's address in nginx's notation, with the brackets of IPv6, which the error log omits."""
    host, _, port = (backend or "").rpartition(":")
    bare = ":" in host and not host.startswith(("unix:", "["))
    return (f"[{host}]:{port}" if bare else backend or "").encode(errors="surrogateescape")


def _time(seconds: float | None) -> bytes | None:
    return None if seconds is None else b"%.3f" % seconds


def _of_tries(read: Callable[[Try], bytes | None]) -> Evaluate:
    """The function that lists a value for each backend that was tried."""

    def read_all(facts: Facts) -> bytes | None:
        tries = facts.tries
        if len(tries) == 1:
            return read(tries[0])
        return b", ".join(read(each) or b"-" for each in tries) if tries else None

    return read_all


_all_addresses: Final = _of_tries(lambda each: each.address)


# Minutes are cached, as with few lines each has another second. Since 1972 no time zone has an offset with seconds.
@lru_cache(maxsize=2)
def _minute(number: int) -> tuple[str, str, str, str]:
    """The parts of a local time before and after its seconds, in the Common Log Format and in ISO 8601.

    `number` counts minutes since the epoch.
    """
    begin = time.localtime(number * 60)
    year, month, day, hour, minute = begin[:5]
    offset = begin.tm_gmtoff // 60
    sign, hours, minutes = "-" if offset < 0 else "+", abs(offset) // 60, abs(offset) % 60
    return (
        f"{day:02}/{MONTHS[month - 1]}/{year:04}:{hour:02}:{minute:02}:",
        f" {sign}{hours:02}{minutes:02}",
        f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:",
        f"{sign}{hours:02}:{minutes:02}",
    )


def common_time(second: int) -> str:
    """The local time at a second since the epoch in the Common Log Format, whatever the locale."""
    before, after, _, _ = _minute(second // 60)
    return f"{before}{second % 60:02}{after}"


def iso8601_second(second: int) -> str:
    """The local time at a second since the epoch in ISO 8601, without the offset."""
    return f"{_minute(second // 60)[2]}{second % 60:02}"


def iso8601_offset(second: int) -> str:
    """The offset of the local time in ISO 8601."""
    return _minute(second // 60)[3]


def _now() -> tuple[int, int]:
    """The seconds and milliseconds since the epoch, truncated as in nginx, so that all times in a line agree."""
    return divmod(time.time_ns() // 1_000_000, 1000)


def _iso8601(*, milliseconds: bool) -> bytes:
    second, thousandths = _now()
    fraction = f".{thousandths:03}" if milliseconds else ""
    return f"{iso8601_second(second)}{fraction}{iso8601_offset(second)}".encode()


TABLE: Final[Mapping[str, Evaluate]] = {
    "binary_remote_addr": _packed,
    "binary_remote_prefix": _prefix,
    "remote_prefix": _spelled_prefix,
    "remote_addr": lambda facts: facts.client.encode(),
    "remote_port": lambda facts: _number(facts.port),
    "realip_remote_addr": lambda facts: _ip(facts.peer),
    "realip_remote_port": lambda facts: _port(facts.peer),
    "proxy_protocol_addr": _proxy_text(0),
    "proxy_protocol_port": _proxy_text(1),
    "proxy_protocol_server_addr": _proxy_text(2),
    "proxy_protocol_server_port": _proxy_text(3),
    "server_addr": lambda facts: _ip(facts.local),
    "server_port": lambda facts: _number(facts.local_port),
    "server_name": lambda facts: facts.server_name,
    "protocol": lambda facts: facts.protocol.encode(),
    "connection": lambda facts: b"%d" % facts.number,
    "pid": lambda facts: b"%d" % os.getpid(),
    "hostname": lambda facts: socket.gethostname().lower().encode(),
    "nginx_version": lambda facts: _VERSION,
    "mailworker_version": lambda facts: _VERSION,
    "msec": lambda facts: b"%d.%03d" % _now(),
    "time_local": lambda facts: common_time(_now()[0]).encode(),
    "time_iso8601": lambda facts: _iso8601(milliseconds=False),
    "time_iso8601_ms": lambda facts: _iso8601(milliseconds=True),
    "log_event": lambda facts: None if facts.event is None else facts.event.encode(),
    "status": status,
    "session_end": _of_end(lambda ending: ending.word.encode()),
    "session_state": _of_end(lambda ending: ending.pair.encode()),
    "session_time": lambda facts: b"%.3f" % facts.seconds,
    "connection_time": lambda facts: b"%.3f" % facts.seconds,
    "bytes_received": lambda facts: b"%d" % facts.received,
    "bytes_sent": lambda facts: b"%d" % facts.sent,
    "tls_handshake_time": lambda facts: _time(facts.handshake_seconds),
    "auth_time": lambda facts: _time(facts.auth_seconds),
    "auth_source": lambda facts: None if facts.auth_source is None else facts.auth_source.encode(),
    "limit_conn_status": lambda facts: facts.limit_conn_status,
    "upstream_addr": _all_addresses,
    "upstream_connect_time": _of_tries(lambda each: _time(each.connect)),
    "upstream_first_byte_time": _of_tries(lambda each: _time(each.first_byte)),
    "upstream_login_time": _of_tries(lambda each: _time(each.login)),
    "upstream_session_time": _of_tries(lambda each: _time(each.session)),
    "upstream_bytes_received": _of_tries(lambda each: b"%d" % each.received),
    "upstream_bytes_sent": _of_tries(lambda each: b"%d" % each.sent),
    "remote_host": lambda facts: facts.host,
    "remote_user": lambda facts: facts.remote_user,
    "remote_user_local": _local_part,
    "remote_user_domain": _domain,
    "auth_user": lambda facts: facts.auth_user,
    "auth_method": lambda facts: None if facts.method is None else _METHODS[facts.method],
    "auth_attempts": lambda facts: b"%d" % facts.attempts,
    "starttls": lambda facts: b"on" if facts.starttls else b"",
    "smtp_helo": lambda facts: facts.helo or None,
    "smtp_mail_from": _envelope(lambda envelope: envelope.mail),
    "smtp_rcpt_to": _envelope(lambda envelope: envelope.rcpt),
    "imap_id": lambda facts: facts.client_id or None,
    "session_id": lambda facts: facts.session_id,
    "limit_auth_status": lambda facts: None if facts.limited is None else facts.limited[0],
    "limit_auth_zone": lambda facts: None if facts.limited is None else facts.limited[1],
    **TLS,
}

USERS: Final = frozenset({"auth_user", "remote_user", "remote_user_local", "remote_user_domain"})
"""The variables whose values are names of users, or parts of them."""

WORDS: Final = tuple(
    METHOD_NAMES[AuthMethod(bit)].directive if bit in METHOD_NAMES else None for bit in range(max(METHOD_NAMES) + 1)
)
"""The names of the methods, each at its number."""

USER: Final = at("login", when="attempts")
METHOD: Final = Source(Kind.ITEM, ("method",), WORDS)
SESSION_ID: Final = Source(Kind.RESULT, ("entrance.sessions.identify", "accepted", "number"))
SESSION_TIME: Final = Source(Kind.DIFFERENCE, ("entrance.sessions.loop.now", "accepted"))
STATUS: Final = Source(Kind.AT, ("reason.status",), None, "", "rare.refused_for_now", status)

# For sessions that have tried several backends, the functions in TABLE are called.
_SEVERAL: Final = "rare.tries"

SOURCES: Final[Mapping[str, Source]] = {
    "remote_addr": at("client"),
    "remote_port": at("port", TABLE["remote_port"]),
    "server_port": at("entrance.port", TABLE["server_port"]),
    "protocol": at("entrance.protocol"),
    "connection": at("number"),
    "time_local": Source(Kind.SECOND, (), common_time),
    "log_event": at("event"),
    "status": STATUS,
    "session_end": at("reason.word"),
    "session_state": at("reason.pair"),
    "session_id": SESSION_ID,
    "session_time": SESSION_TIME,
    "bytes_received": at("client_bytes.received"),
    "bytes_sent": at("client_bytes.sent"),
    "remote_user": USER,
    "auth_user": at("auth_user"),
    "auth_method": METHOD,
    "auth_attempts": at("attempts"),
    "auth_source": at("entrance.source", when="attempts"),
    "auth_time": Source(Kind.THOUSANDTH, ("auth_ms",)),
    "ssl_protocol": at("client_bytes.tls.protocol"),
    "ssl_cipher": at("client_bytes.tls.cipher"),
    "ssl_session_reused": Source(Kind.ITEM, ("client_bytes.tls.reused",), (".", "r")),
    "upstream_addr": Source(Kind.SPELLED, ("backend",), address_text, "", _SEVERAL, _all_addresses),
    "upstream_login_time": Source(Kind.THOUSANDTH, ("login_ms",), None, "", _SEVERAL, TABLE["upstream_login_time"]),
}
"""The sources of the values in most lines. They give the same values as TABLE, in a tenth of the time."""
