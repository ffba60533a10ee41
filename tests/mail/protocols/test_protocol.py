"""What a row of the table of protocols does with what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from mailworker.config.settings import MailServer
from mailworker.errors import Party, ProtocolError
from mailworker.mail.backend.backend import Backend, TlsRefused
from mailworker.mail.capabilities import Capabilities
from mailworker.mail.protocols.imap import IMAP
from mailworker.mail.protocols.protocol import Protocol
from mailworker.model import AuthMethod, Starttls
from mailworker.tls.backend import TlsPeer
from mailworker.wire.login import Login
from tests.support.memory_stream import run
from tests.support.settings import mail_server

LOGIN = Login(AuthMethod.PLAIN, b"user")


class Steps:
    """A backend, its TLS and a protocol that note each step; the one that is called `fault` fails."""

    def __init__(self, *, starttls: bool, fault: str = "") -> None:
        self.starttls = starttls
        self.taken: list[str] = []
        self._fault = fault

    def take(self, step: str) -> None:
        self.taken.append(step)
        if step == self._fault:
            raise TlsRefused(step) if step == "tls" else ProtocolError(Party.BACKEND, step)

    async def start_tls(self, _peer: TlsPeer) -> None:
        self.take("tls")

    def remember(self, _peer: TlsPeer) -> None:
        self.take("remember")

    def protocol(self) -> Protocol:
        async def starttls(_backend: Backend, login: Login) -> None:
            assert login is LOGIN
            self.take("starttls")

        async def log_in(_backend: Backend, login: Login) -> bytes:
            assert login is LOGIN
            self.take("login")
            return b"in"

        return replace(IMAP, starttls=starttls, log_in=log_in)

    def log_in(self) -> bytes:
        return run(self.protocol().log_in_over_tls(cast(Backend, self), LOGIN, cast(TlsPeer, self)))


@pytest.mark.parametrize("starttls", [False, True])
def test_a_backend_is_logged_in_to_when_nobody_else_can_read_it_and_remembered_when_that_went_well(
    starttls: bool,
) -> None:
    steps = Steps(starttls=starttls)
    assert steps.log_in() == b"in"
    assert steps.taken == ["starttls"] * starttls + ["tls", "login", "remember"]


@pytest.mark.parametrize("fault", ["starttls", "tls", "login"])
def test_after_a_step_that_fails_there_is_no_other(fault: str) -> None:
    steps = Steps(starttls=True, fault=fault)
    with pytest.raises(ProtocolError):
        steps.log_in()
    assert steps.taken[-1] == fault


@pytest.mark.parametrize("starttls", Starttls)
def test_starttls_is_offered_in_clear_alone(starttls: Starttls) -> None:
    def layout(_settings: MailServer, shown: Starttls) -> bytes:
        return shown.name.encode()

    told = replace(IMAP, layout=layout).capabilities(mail_server("imap", starttls=starttls))
    assert told == Capabilities(starttls.name.encode(), b"OFF")
