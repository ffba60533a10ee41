from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailworker.errors import Party, TlsError
from mailworker.model import Level
from mailworker.tls import severity as module
from mailworker.tls.severity import severity

HEADER = Path("/usr/include/openssl/sslerr.h")


@pytest.mark.skipif(not HEADER.exists(), reason="OpenSSL's headers are elsewhere")
def test_numbers_of_reasons_are_openssl_s() -> None:
    listed = re.findall(r"^ {8}(\d+),  # ([^:\n]+)", Path(module.__file__).read_text(), re.MULTILINE)
    assert {int(number) for number, _ in listed} == module._PEER_REASONS
    defined = dict(re.findall(r"^# *define SSL_R_(\w+)\s+(\d+)", HEADER.read_text(), re.MULTILINE))
    ours = {name.upper().replace(" ", "_"): number for number, name in listed}
    assert defined | ours == ours | defined


@pytest.mark.parametrize(
    ("reasons", "level"),
    [
        (("error:0A00010B:SSL routines::wrong version number",), Level.INFO),
        (("error:1408F10B:SSL routines:ssl3_get_record:wrong version number",), Level.INFO),
        (("error:0A0000C1:SSL routines::no shared cipher",), Level.INFO),
        (("error:0A000418:SSL routines::tlsv1 alert unknown ca:SSL alert number 48",), Level.INFO),
        (("error:0A000412:SSL routines::sslv3 alert bad certificate:SSL alert number 42",), Level.INFO),
        (("error:1C800066:Provider routines::x", "error:0A000119:SSL routines::bad record mac"), Level.INFO),
        (
            ("error:0A000119:SSL routines::bad record mac", "error:0A000139:SSL routines::record layer failure"),
            Level.INFO,
        ),
        (
            (
                "error:0800006B:elliptic curve routines::point is not on curve",
                "error:0A000132:SSL routines::bad ecpoint",
            ),
            Level.INFO,
        ),
        (
            ("error:0688010A:asn1 encoding routines::nested asn1 error", "error:0A08000D:SSL routines::ASN1 lib"),
            Level.INFO,
        ),
        (("error:0A080006:SSL routines::EVP lib",), Level.CRIT),
        (("error:0A000044:SSL routines::internal error",), Level.CRIT),
        (("error:02000068:rsa routines::bad signature",), Level.CRIT),
        ((), Level.INFO),
    ],
)
def test_only_what_a_peer_cannot_bring_about_is_critical(reasons: tuple[str, ...], level: Level) -> None:
    assert severity(TlsError(Party.CLIENT, "SSL_do_handshake()", reasons)) is level
