"""What an auth service gives in place of a client's name and password."""

from __future__ import annotations

import pytest

from mailworker.model import AuthMethod, InetAddress
from mailworker.wire.auth_response import Accepted
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret

BACKEND = InetAddress("192.0.2.1", 143)
OURS, THEIRS = Secret(b"secret"), Secret(b"other")
WITH_PASSWORD = (AuthMethod.PLAIN, AuthMethod.LOGIN)


@pytest.mark.parametrize("method", AuthMethod)
@pytest.mark.parametrize(("login", "name"), [(None, b"user"), (b"mailbox", b"mailbox"), (b"", b"")])
def test_a_name_stays_unless_another_is_given(method: AuthMethod, login: bytes | None, name: bytes) -> None:
    adopting = Login(method, b"user", OURS)
    adopting.adopt(Accepted(BACKEND, login))
    assert adopting.name == name


@pytest.mark.parametrize("method", AuthMethod)
def test_what_is_no_password_is_not_kept_for_one(method: AuthMethod) -> None:
    """A digest answers our challenge, and a token is for us."""
    adopting = Login(method, b"user", OURS)
    adopting.adopt(Accepted(BACKEND))
    assert adopting.password == (OURS if method in WITH_PASSWORD else None)


@pytest.mark.parametrize("method", AuthMethod)
@pytest.mark.parametrize("given", [THEIRS, Secret(b"")], ids=["given", "given as empty"])
def test_a_password_that_is_given_is_taken(method: AuthMethod, given: Secret) -> None:
    adopting = Login(method, b"user", OURS)
    adopting.adopt(Accepted(BACKEND, password=given))
    assert adopting.password == given


def test_no_password_is_printed() -> None:
    assert "secret" not in repr(Login(AuthMethod.PLAIN, b"user", OURS))
