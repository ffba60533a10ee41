"""The keys by which sessions are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mailworker.config.limit_auth import OF_CLIENT
from mailworker.mail.session_facts import SessionFacts
from mailworker.mail.session_log import SessionLog
from mailworker.shm.keys import UNIX, packed_key, text_key, user_key
from mailworker.variables.facts import Evaluate
from mailworker.variables.table import TABLE, USERS
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables

Key = Callable[[SessionLog], bytes]
"""Gives the key by which a session is counted; empty if it is not counted."""

_AT_ACCEPT: Final = OF_CLIENT | {
    *("hostname", "nginx_version", "mailworker_version", "pid", "protocol", "server_addr", "server_port"),
    *("realip_remote_addr", "realip_remote_port", "remote_port", "connection"),
    *("proxy_protocol_addr", "proxy_protocol_port", "proxy_protocol_server_addr", "proxy_protocol_server_port"),
}


def _user(name: str) -> Evaluate:
    function = TABLE[name]
    return lambda facts: user_key(function(facts) or b"")


def _address(name: str) -> Evaluate:
    function = TABLE[name]
    return lambda facts: text_key((function(facts) or b"").decode())


# In a key, all spellings of a user or an address have one value.
_FUNCTIONS: Final[Mapping[str, Evaluate]] = {
    **{name: _address(name) for name in ("remote_addr", "realip_remote_addr")},
    "binary_remote_addr": lambda facts: text_key(UNIX) if facts.port is None else packed_key(facts.client),
    **{name: _user(name) for name in USERS},
}


def rendered(key: Template, variables: Variables) -> Key:
    """The function that renders a key from its variables."""
    render = variables.replacing(_FUNCTIONS).bind(key)

    def read(record: SessionLog) -> bytes:
        assert isinstance(record, SessionFacts)
        return render(record)

    return read


def known_at_accept(names: frozenset[str]) -> bool:
    """Whether a key of these variables is known before the client has sent anything."""
    return names <= _AT_ACCEPT


def tells_the_client(names: frozenset[str]) -> bool:
    """Whether a key of these variables depends on the client's address: then a stranger elsewhere has another key."""
    return not names.isdisjoint(OF_CLIENT)
