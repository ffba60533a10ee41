"""`auth_policy` and its companions, as in Dovecot: a service that may refuse logins, and gets reports of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mailworker.config.addresses import Url
from mailworker.config.auth_http import http_url
from mailworker.config.command import ONE, TWO
from mailworker.config.drafts import BOTH, Scope
from mailworker.config.rows import Value, commands, frozen, merged, row
from mailworker.config.slots import FLAG, MILLISECONDS, PAIRS, choice, member, once, repeated
from mailworker.config.templates import read_value
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Address
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables


class PolicyCheck(Enum):
    """`auth_policy_check`: whether the service is asked before or after the login source."""

    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class AuthPolicySettings:
    """The directives. `attributes` are sent in addition to Dovecot's fields; `closed` is `auth_policy_fail`.

    `nonce` is secret: with it, the hashes would help to guess passwords.
    """

    address: Address
    host: bytes
    uri: bytes
    timeout: float
    headers: tuple[tuple[bytes, bytes], ...]
    nonce: bytes = field(repr=False)
    check: PolicyCheck = PolicyCheck.BEFORE
    report: bool = True
    closed: bool = False
    attributes: tuple[tuple[str, bytes | Template], ...] = ()

    @property
    def name(self) -> str:
        return str(self.address)

    @property
    def has_variables(self) -> bool:
        return any(isinstance(value, Template) for _, value in self.attributes)

    @property
    def asks_before(self) -> bool:
        return self.check in {PolicyCheck.BEFORE, PolicyCheck.BOTH}

    @property
    def asks_after(self) -> bool:
        return self.check in {PolicyCheck.AFTER, PolicyCheck.BOTH}


def _take_url(parser: Parser) -> Url | None:
    return None if parser.words[1] == "off" else http_url(parser)


def _take_nonce(parser: Parser) -> bytes:
    name = parser.beside_configuration(parser.words[1])
    parser.declare_secret("nonce file", name)
    nonce = parser.read_file(name).strip()
    if not nonce:
        raise parser.error(f'no nonce in "{name}"')
    return nonce


def _take_attribute(parser: Parser) -> tuple[tuple[str, bytes | Template], ...]:
    return ((parser.words[1], read_value(parser, parser.words[2])),)


@dataclass(slots=True)
class AuthPolicyDraft:
    """`auth_policy` is None if no service is asked."""

    auth_policy: Url | None = row(BOTH, ONE, Value(once(_take_url)), None, into=None, spelled="off")
    auth_policy_header: tuple[tuple[str, str], ...] = row(BOTH, TWO, PAIRS, (), into=None)
    auth_policy_nonce_file: bytes | None = row(BOTH, ONE, Value(once(_take_nonce)), None, into="nonce")
    auth_policy_timeout: float = row(BOTH, ONE, MILLISECONDS, 2.0)
    auth_policy_check: PolicyCheck = row(BOTH, ONE, member(PolicyCheck), PolicyCheck.BEFORE)
    auth_policy_report: bool = row(BOTH, ONE, FLAG, True)
    auth_policy_fail: bool = row(BOTH, ONE, choice({"open": False, "closed": True}), False, into="closed")
    auth_policy_attribute: tuple[tuple[str, bytes | Template], ...] = row(
        BOTH, TWO, Value(repeated(_take_attribute)), (), into="attributes"
    )


COMMANDS: Final = commands(AuthPolicyDraft)


def freeze(
    parser: Parser, server: Scope, mail: Scope, variables: Variables, *, by_backend: bool
) -> AuthPolicySettings | None:
    """The server's settings, None without a service. `by_backend`: `auth_upstream` is on. Raises ConfigError."""
    draft = merged(AuthPolicyDraft, server, mail)
    url = draft.auth_policy
    if url is None:
        return None
    if not draft.auth_policy_nonce_file:
        raise ConfigError('"auth_policy" requires "auth_policy_nonce_file"', server.opened_at)
    for _, value in draft.auth_policy_attribute:
        if isinstance(value, Template):
            variables.check(value)
    settings = frozen(
        AuthPolicySettings,
        draft,
        parser,
        "auth_policy_",
        address=url.addresses[0],
        host=url.http_host,
        uri=url.target,
        headers=tuple((os.fsencode(name), os.fsencode(value)) for name, value in draft.auth_policy_header),
    )
    if by_backend and settings.asks_after:
        raise ConfigError(
            f'"auth_policy_check {settings.check.value}" needs another source of logins than "auth_upstream"',
            server.opened_at,
        )
    return settings
