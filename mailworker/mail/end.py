"""Why a session ended: a closed set."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class End(Enum):
    """Each with its number from 0 on, word, status in the sense of nginx's stream module, and HAProxy's letters.

    The first letter tells who or why, the second when: see "Session state at disconnection" in HAProxy's manual.
    """

    CLIENT_CLOSED = ("client_closed", 200, "--")
    """Logged in; the client was the first to end its side, and all was handed on."""

    BACKEND_CLOSED = ("upstream_closed", 200, "--")
    """Logged in; the backend was the first to end its side, and all was handed on."""

    CLIENT_RESET = ("client_reset", 200, "CD")
    """Logged in; reading from the client or writing to it failed."""

    BACKEND_RESET = ("upstream_reset", 200, "SD")
    """Logged in; reading from the backend or writing to it failed."""

    PROXY_TIMEOUT = ("proxy_timeout", 200, "cD")
    """Logged in; no byte came from either side for proxy_timeout, or, once one had ended its side, for timeout."""

    FORBIDDEN_COMMAND = ("forbidden_command", 403, "PD")
    """Logged in; the client has sent what would make it another user at the backend: ManageSieve's UNAUTHENTICATE."""

    QUIT = ("quit", 200, "--")
    """The client took its leave before it was logged in: LOGOUT or QUIT."""

    NO_BYTES = ("no_bytes", 400, "CR")
    """The client left without a byte: nothing came but maybe a PROXY header, or a handshake that ended well."""

    CLIENT_LEFT = ("client_left", 400, "CR")
    """The client left before it was logged in, or the connection to it failed."""

    CLIENT_TIMEOUT = ("client_timeout", 408, "cR")
    """The client, not yet logged in, let timeout pass."""

    TLS_FAILED = ("tls_failed", 400, "PH")
    """The client's handshake failed, or the client left in it."""

    TLS_TIMEOUT = ("tls_timeout", 400, "cH")
    """The client let timeout pass in its handshake."""

    PROXY_PROTOCOL = ("proxy_protocol", 400, "PR")
    """There was no PROXY header, or a broken one, where one has to be."""

    DENIED = ("denied", 403, "PR")
    """A rule of `deny` names the client: the connection was closed without a word."""

    BANNED = ("banned", 403, "PR")
    """Too many logins of the client's have failed, or somebody has said so: closed without a word (`ban`)."""

    INVALID_COMMAND = ("invalid_command", 400, "PR")
    """A command after which no other can be found (too long, too large a literal), or a login no backend may see."""

    CERT_REFUSED = ("cert_refused", 403, "PR")
    """ssl_verify_client: the client's certificate was not verified."""

    CERT_MISSING = ("cert_missing", 403, "PR")
    """ssl_verify_client: the client has sent no certificate."""

    TOO_MANY_ERRORS = ("too_many_errors", 403, "PR")
    """The client has sent max_errors invalid commands."""

    TOO_MANY_COMMANDS = ("too_many_commands", 403, "PR")
    """The client has sent more than max_commands commands."""

    PREGREET = ("pregreet", 403, "PR")
    """The client spoke before its greeting, which smtp_greeting_delay holds back."""

    AUTH_FAILED = ("auth_failed", 403, "PR")
    """The login was refused, and the client was not allowed to try again, or not once more."""

    LIMIT_AUTH = ("limit_auth", 503, "PT")
    """Too many logins have failed or were tried: the client was told to come again later (`limit_auth`)."""

    AUTH_TIMEOUT = ("auth_timeout", 500, "sR")
    """The auth service, or the backend that decides, let auth_http_timeout pass."""

    AUTH_ERROR = ("auth_error", 500, "SR")
    """The auth service, or the backend that decides, was not reached, went away, or gave no usable answer."""

    LIMIT_CONN = ("limit_conn", 503, "PQ")
    """There were as many connections of its kind as `limit_conn` allows: closed without a word, or told so at login."""

    BACKEND_CONNECT = ("upstream_connect", 502, "SC")
    """No connection to the backend could be made, or its name has no address."""

    BACKEND_CONNECT_TIMEOUT = ("upstream_connect_timeout", 502, "sC")
    """The connection to the backend was not made in time."""

    BACKEND_TLS = ("upstream_tls", 502, "SH")
    """The handshake with the backend failed, or its certificate will not do."""

    BACKEND_TIMEOUT = ("upstream_timeout", 502, "sH")
    """The backend was reached and then let timeout pass in the login."""

    BACKEND_AUTH = ("upstream_auth", 502, "SH")
    """The backend refused a command of the login for good: NO, -ERR, 5yz."""

    BACKEND_TEMP = ("upstream_temp", 502, "SH")
    """The backend refused for now: 4yz, BYE, or a response code that says so (RFC 5530, RFC 3206)."""

    BACKEND_PROTOCOL = ("upstream_protocol", 502, "SH")
    """In the login the backend went away, said what its protocol has no place for, or offers clients too much."""

    SHUTDOWN = ("shutdown", 503, "K-")
    """The worker ended first: worker_shutdown_timeout, or a fast shutdown."""

    KICKED = ("kicked", 503, "K-")
    """An administrator has ended the session."""

    RESOURCES = ("resources", 500, "R-")
    """worker_connections, descriptors, ports or memory were used up."""

    BUG = ("bug", 500, "I-")
    """An exception that nobody expected; the log has it at [alert]."""

    def __init__(self, word: str, status: int, pair: str) -> None:
        self.number = len(type(self).__members__)
        self.word = word
        self.status = status
        self.pair = pair


USUAL: Final = frozenset({End.CLIENT_CLOSED, End.BACKEND_CLOSED, End.QUIT, End.NO_BYTES, End.CLIENT_LEFT})
"""Ends that nobody has to look at."""


class Farewell(NamedTuple):
    """Why a session ends before its relay, and the reply to the client; None if there is nobody to reply to."""

    reason: End
    words: bytes | None = None
