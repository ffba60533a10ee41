"""The reasons for which a session may end."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class End(Enum):
    """A reason: its number from 0 on, its word, its status as in nginx's stream module, and HAProxy's two letters.

    The first letter is the party or cause, the second the state: see "Session state at disconnection" in HAProxy's
    manual.
    """

    CLIENT_CLOSED = ("client_closed", 200, "--")
    """Logged in; the client closed its side first, and all data was relayed."""

    BACKEND_CLOSED = ("upstream_closed", 200, "--")
    """Logged in; the backend closed its side first, and all data was relayed."""

    CLIENT_RESET = ("client_reset", 200, "CD")
    """Logged in; reading from the client or writing to it failed."""

    BACKEND_RESET = ("upstream_reset", 200, "SD")
    """Logged in; reading from the backend or writing to it failed."""

    PROXY_TIMEOUT = ("proxy_timeout", 200, "cD")
    """Logged in; no byte came from either side for `proxy_timeout`, or for `timeout` after one side was closed."""

    FORBIDDEN_COMMAND = ("forbidden_command", 403, "PD")
    """Logged in; the client sent a command that would change its user at the backend: ManageSieve's UNAUTHENTICATE."""

    QUIT = ("quit", 200, "--")
    """The client sent LOGOUT or QUIT before it was logged in."""

    NO_BYTES = ("no_bytes", 400, "CR")
    """The client closed the connection without sending a byte, except perhaps a PROXY header and a TLS handshake."""

    CLIENT_LEFT = ("client_left", 400, "CR")
    """The client closed the connection before it was logged in, or the connection failed."""

    CLIENT_TIMEOUT = ("client_timeout", 408, "cR")
    """The client was not logged in within `timeout`."""

    TLS_FAILED = ("tls_failed", 400, "PH")
    """The TLS handshake with the client failed, or the client closed the connection during it."""

    TLS_TIMEOUT = ("tls_timeout", 400, "cH")
    """The client did not finish its TLS handshake within `timeout`."""

    PROXY_PROTOCOL = ("proxy_protocol", 400, "PR")
    """The required PROXY header was missing or invalid."""

    DENIED = ("denied", 403, "PR")
    """A `deny` rule matches the client: the connection was closed, without a reply unless `deny_reply` is on."""

    BANNED = ("banned", 403, "PR")
    """The client is banned, by failed logins or an administrator: closed, without a reply unless `deny_reply` is on."""

    INVALID_COMMAND = ("invalid_command", 400, "PR")
    """The client sent a command whose end cannot be found (too long, or with too large a literal), or a login that must
    not be passed to a backend.
    """

    CERT_REFUSED = ("cert_refused", 403, "PR")
    """`ssl_verify_client`: the client's certificate was not verified."""

    CERT_MISSING = ("cert_missing", 403, "PR")
    """`ssl_verify_client`: the client has sent no certificate."""

    TOO_MANY_ERRORS = ("too_many_errors", 403, "PR")
    """The client has sent `max_errors` invalid commands."""

    TOO_MANY_COMMANDS = ("too_many_commands", 403, "PR")
    """The client has sent more than `max_commands` commands."""

    PREGREET = ("pregreet", 403, "PR")
    """The client sent something before the greeting, which `smtp_greeting_delay` delays."""

    AUTH_FAILED = ("auth_failed", 403, "PR")
    """The login was refused, and the client may not try again, or has tried too often."""

    LIMIT_AUTH = ("limit_auth", 503, "PT")
    """Too many logins have failed or were tried: the client was told to try again later (`limit_auth`)."""

    AUTH_TIMEOUT = ("auth_timeout", 500, "sR")
    """The auth service did not answer within `auth_http_timeout`."""

    AUTH_ERROR = ("auth_error", 500, "SR")
    """The auth service was not reached, closed early, or gave an unusable answer."""

    LIMIT_CONN = ("limit_conn", 503, "PQ")
    """`limit_conn` allows no more connections of this key: closed without a reply at accept, or refused at login."""

    BACKEND_CONNECT = ("upstream_connect", 502, "SC")
    """The connection to the backend failed, or its name has no address."""

    BACKEND_CONNECT_TIMEOUT = ("upstream_connect_timeout", 502, "sC")
    """The connection to the backend was not established in time."""

    BACKEND_TLS = ("upstream_tls", 502, "SH")
    """The handshake with the backend failed, or its certificate was not accepted."""

    BACKEND_TIMEOUT = ("upstream_timeout", 502, "sH")
    """The backend was reached, but did not answer within `timeout` during the login."""

    BACKEND_AUTH = ("upstream_auth", 502, "SH")
    """The backend refused a command of the login permanently: NO, -ERR, 5yz."""

    BACKEND_TEMP = ("upstream_temp", 502, "SH")
    """The backend refused temporarily: 4yz, BYE, or a response code with that meaning (RFC 5530, RFC 3206)."""

    BACKEND_PROTOCOL = ("upstream_protocol", 502, "SH")
    """During the login the backend closed the connection, violated its protocol, or offered clients too much."""

    SHUTDOWN = ("shutdown", 503, "K-")
    """The worker ended before the session: `worker_shutdown_timeout`, or a fast shutdown."""

    KICKED = ("kicked", 503, "K-")
    """An administrator has ended the session by `mailworker-ctl kick`."""

    RESOURCES = ("resources", 500, "R-")
    """`worker_connections`, descriptors, ports or memory were exhausted."""

    BUG = ("bug", 500, "I-")
    """An unexpected exception, which is logged at `[alert]`."""

    def __init__(self, word: str, status: int, pair: str) -> None:
        self.number = len(type(self).__members__)
        self.word = word
        self.status = status
        self.pair = pair


USUAL: Final = frozenset(
    {End.CLIENT_CLOSED, End.BACKEND_CLOSED, End.QUIT, End.NO_BYTES, End.CLIENT_LEFT, End.SHUTDOWN, End.KICKED}
)
"""Ends that need no attention; an administrator himself has caused the last two."""


class Farewell(NamedTuple):
    """Why a session ends before its relay, and the reply to the client, None if it can get none."""

    reason: End
    words: bytes | None = None
