"""What an auth service gives in place of a client's name and password."""

from __future__ import annotations

import pytest

from mailworker.model import AuthMethod, InetAddress
from mailworker.wire.auth_response import Accepted
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret

BACKEND = InetAddress("192.0.2.1", 143)
OURS, THEIRS = Secret(b"secret"), Secret(b"other")
BY_TOKEN = (AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER)
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


@pytest.mark.parametrize("method", AuthMethod)
@pytest.mark.parametrize("mechanism", [None, *AuthMethod])
def test_a_token_is_kept_where_it_is_asked_for_as_one(method: AuthMethod, mechanism: AuthMethod | None) -> None:
    adopting = Login(method, b"user", OURS)
    adopting.adopt(Accepted(BACKEND, mechanism=mechanism))
    asked = mechanism in BY_TOKEN and method in BY_TOKEN
    assert adopting.password == (OURS if asked or method in WITH_PASSWORD else None)
    assert (adopting.mechanism, adopting.master) == (mechanism, None)


@pytest.mark.parametrize("method", AuthMethod)
def test_what_a_backend_is_to_judge_goes_as_it_came(method: AuthMethod) -> None:
    adopting = Login(method, b"user", OURS)
    adopting.adopt(Accepted(BACKEND, b"other", THEIRS, passed_on=True))
    assert (adopting.name, adopting.password) == (b"user", OURS)
    assert adopting.mechanism == (method if method in BY_TOKEN else None)


def test_a_master_user_stands_beside_the_login() -> None:
    adopting = Login(AuthMethod.PLAIN, b"user", OURS)
    adopting.adopt(Accepted(BACKEND, b"mailbox", THEIRS, mechanism=AuthMethod.PLAIN, master=b"boss"))
    assert (adopting.name, adopting.master, adopting.password) == (b"mailbox", b"boss", THEIRS)


def test_no_password_is_printed() -> None:
    assert "secret" not in repr(Login(AuthMethod.PLAIN, b"user", OURS))
