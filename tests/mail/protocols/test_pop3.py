"""What POP3 lists, and that it is true."""

from __future__ import annotations

import pytest

from mailworker.model import AuthMethod, Starttls
from tests.mail.protocols.layouts import ALL, NAMES, asked, listed

# nginx's three layouts.
LAYOUTS = {
    Starttls.OFF: b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL %b\r\n.\r\n" % NAMES,
    Starttls.ON: b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL %b\r\nSTLS\r\n.\r\n" % NAMES,
    Starttls.ONLY: b"+OK Capability list follows\r\nIMAP4\r\nSTLS\r\n.\r\n",
}


@pytest.mark.parametrize("starttls", Starttls)
def test_layouts_in_clear_and_over_tls(starttls: Starttls) -> None:
    assert listed("pop3", starttls) == (LAYOUTS[starttls], LAYOUTS[Starttls.OFF])


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("auth", [AuthMethod.PLAIN, AuthMethod.APOP, AuthMethod(0), ALL])
def test_sasl_is_listed_with_a_mechanism_that_is_taken_or_not_at_all(
    starttls: Starttls, encrypted: bool, auth: AuthMethod
) -> None:
    changes: dict[str, object] = {"auth": auth, "starttls": starttls}
    told, taken = asked("pop3", b"CAPA\r\n", b"AUTH PLAIN AHUAcA==\r\n", encrypted, changes)
    lines = [line for line in told.split(b"\r\n") if line.startswith(b"SASL")]
    assert all(line.startswith(b"SASL ") and taken for line in lines)
    assert bool(lines) is (taken and AuthMethod.PLAIN in auth)


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("auth", [AuthMethod.PLAIN, AuthMethod.APOP, AuthMethod.EXTERNAL, AuthMethod(0), ALL])
def test_user_is_listed_where_it_is_taken_and_nowhere_else(
    starttls: Starttls, encrypted: bool, auth: AuthMethod
) -> None:
    changes: dict[str, object] = {"auth": auth, "starttls": starttls}
    told, taken = asked("pop3", b"CAPA\r\n", b"USER u\r\nPASS p\r\n", encrypted, changes)
    assert (b"USER" in told.split(b"\r\n")) is taken
    assert taken is not (starttls is Starttls.ONLY and not encrypted)
