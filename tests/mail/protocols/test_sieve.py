"""What ManageSieve lists."""

from __future__ import annotations

import pytest

from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import Starttls
from tests.mail.dialogue.dialogues import server_of
from tests.mail.protocols.layouts import ALL, NAMES

CAPABILITIES = (b"IMPLEMENTATION mailworker", b'SIEVE a"b', b"NOTIFY mailto", b"LANGUAGE", b"VERSION 1.0")
BEFORE = b'"IMPLEMENTATION" "mailworker"\r\n"SIEVE" "a\\"b"\r\n"NOTIFY" "mailto"\r\n"LANGUAGE"\r\n'
# RFC 5804, 1.7: an empty SASL where STARTTLS is needed first.
LAYOUTS = {
    Starttls.OFF: BEFORE + b'"SASL" "%b"\r\n"VERSION" "1.0"\r\n' % NAMES,
    Starttls.ON: BEFORE + b'"SASL" "%b"\r\n"STARTTLS"\r\n"VERSION" "1.0"\r\n' % NAMES,
    Starttls.ONLY: BEFORE + b'"SASL" ""\r\n"STARTTLS"\r\n"VERSION" "1.0"\r\n',
}


@pytest.mark.parametrize("starttls", Starttls)
def test_layouts_in_clear_and_over_tls(starttls: Starttls) -> None:
    settings = server_of("sieve", {"auth": ALL, "capabilities": CAPABILITIES, "starttls": starttls})
    built = PROTOCOLS["sieve"].capabilities(settings)
    assert (built.clear, built.secure) == (LAYOUTS[starttls], LAYOUTS[Starttls.OFF])


def test_its_port_and_its_name_in_a_handshake() -> None:
    assert (PROTOCOLS["sieve"].ports, PROTOCOLS["sieve"].alpn) == ((4190,), b"managesieve")
