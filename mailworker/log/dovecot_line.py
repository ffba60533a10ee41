"""The built-in format `dovecot`: the lines of Dovecot's login processes, which fail2ban and CrowdSec read.

They are those of Dovecot 2.3, which filters for later versions accept as well.
"""

from __future__ import annotations

import re
import socket

from mailworker.log.stamp import Stamp, syslog_time
from mailworker.model import METHOD_NAMES, InetAddress
from mailworker.variables.facts import Facts, Render

_METHODS = {method: (names.sasl or names.directive.upper()).encode() for method, names in METHOD_NAMES.items()}

# Dovecot's names of services that are not "PROTOCOL-login".
_SERVICES = {"smtp": b"submission-login", "sieve": b"managesieve-login"}

# No filter matches this text, as a client must not be banned for a failure of the backend or the auth service.
_FOR_NOW = b"Disconnected: temporary failure"

# Bytes that a login name must not contain: they end its field or its line, or filters match them.
_NOT_PLAIN = re.compile(rb'["\\<>()\x00-\x1f\x7f-\xff]')


def dovecot_line(dated: bool) -> Render:
    """The function that renders lines; if `dated`, they begin with a timestamp and a tag, as syslog adds them."""
    if not dated:
        return _line
    host, stamp = socket.gethostname().lower(), Stamp(syslog_time)
    return lambda facts: f"{stamp.text()} {host} dovecot: ".encode() + _line(facts)


def _line(facts: Facts) -> bytes:
    service = _SERVICES.get(facts.protocol) or b"%b-login" % facts.protocol.encode()
    user = _NOT_PLAIN.sub(lambda match: b"\\x%02X" % match[0][0], facts.remote_user or b"")
    method = b"" if facts.method is None else b" method=%b," % _METHODS[facts.method]
    local = facts.local
    return b"%b: %b: user=<%b>,%b rip=%b, lip=%b%b, session=<%b>\n" % (
        service,
        _message(facts),
        user,
        method,
        facts.client.encode(),
        local.host.encode() if isinstance(local, InetAddress) else b"unix:",
        b"" if facts.tls is None else b", TLS",
        facts.session_id,
    )


def _message(facts: Facts) -> bytes:
    if facts.event == "login":
        return b"Login"
    logged_in = bool(facts.tries) and facts.tries[-1].login is not None
    if facts.event == "failure" and facts.refused_for_now:
        return _FOR_NOW
    if facts.refusals and not logged_in:
        return b"Aborted login (auth failed, %d attempts in %d secs)" % (facts.refusals, facts.seconds)
    if not facts.attempts:
        return b"Aborted login (no auth attempts in %d secs)" % facts.seconds
    return b"Disconnected: %b" % ("" if facts.reason is None else facts.reason.word).encode()
