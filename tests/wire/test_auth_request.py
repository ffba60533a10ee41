from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import AuthMethod
from mailworker.native.core import line
from mailworker.variables.source import asked
from mailworker.wire.auth_request import AuthHttpTemplate, AuthRequest, ClientCertificate, Places, TlsFacts
from mailworker.wire.login import Login, SmtpEnvelope
from mailworker.wire.proxy_protocol import ProxyHeader, ProxyTexts
from mailworker.wire.secret import Secret

MADE_OF = b"/auth?x=1", b"auth.example", ((b"X-Key", b"a b%"), (b"X-Two", b""))
TEMPLATE, TEMPLATE_IN_C = AuthHttpTemplate(*MADE_OF), AuthHttpTemplate(*MADE_OF, make=line.Line)
HEAD = b"GET /auth?x=1 HTTP/1.0\r\nHost: auth.example\r\n"
TAIL = b"X-Key: a b%\r\nX-Two: \r\n\r\n"
LOGIN = Login(AuthMethod.PLAIN, b"user", Secret(b"secret"))
IMAP_LOGIN = AuthRequest(LOGIN, protocol="imap", attempt=1, client_ip=b"192.0.2.1")
CERTIFICATE = ClientCertificate(b"CN=client", b"CN=ca", b"0A", b"ab12")


def request_of(**changes: Any) -> AuthRequest:
    return replace(IMAP_LOGIN, login=replace(LOGIN, **changes))


def request_body(request: AuthRequest) -> bytes:
    """What stands between the parts that every request of the server has."""
    text = TEMPLATE.request(request)
    assert text == TEMPLATE_IN_C.request(request)
    assert text.startswith(HEAD)
    assert text.endswith(TAIL)
    return text[len(HEAD) : -len(TAIL)]


def test_a_request_is_nginx_byte_for_byte() -> None:
    assert (
        TEMPLATE.request(IMAP_LOGIN)
        == HEAD
        + (
            b"Auth-Method: plain\r\nAuth-User: user\r\nAuth-Pass: secret\r\nAuth-Protocol: imap\r\n"
            b"Auth-Login-Attempt: 1\r\nClient-IP: 192.0.2.1\r\n"
        )
        + TAIL
    )


@pytest.mark.parametrize("template", [TEMPLATE, TEMPLATE_IN_C])
@pytest.mark.parametrize("secure", [False, True])
def test_the_same_is_said_of_a_login_that_is_found_in_other_places(template: AuthHttpTemplate, secure: bool) -> None:
    session = SimpleNamespace(login=LOGIN, of="imap", times=1, log=SimpleNamespace(client="192.0.2.1"), secure=secure)
    places = Places(
        "login", "of", "times", "log.client", asked(lambda _: b"Secure: yes\r\n", when="secure"), b"More: 1\r\n"
    )
    more = b"More: 1\r\n" + b"Secure: yes\r\n" * secure
    assert template.at(places)(session) == template.request(IMAP_LOGIN).removesuffix(TAIL) + more + TAIL


def test_the_identity_to_act_for_is_escaped_and_told_only_where_there_is_one() -> None:
    assert b"Auth-Authzid" not in TEMPLATE.request(IMAP_LOGIN)
    request = request_of(authzid=b"boss %\r\nX: y")
    assert request_body(request) == request_body(IMAP_LOGIN) + b"Auth-Authzid: boss%20%25%0D%0AX:%20y\r\n"


def test_every_header_has_nginx_place() -> None:
    request = AuthRequest(
        Login(
            AuthMethod.CRAM_MD5,
            b"user",
            Secret(b"0123"),
            salt=b"<1.2@host>",
            envelope=SmtpEnvelope(b"MAIL FROM:<a@b> SIZE=1", b"RCPT TO:<c@d>"),
            helo=b"client.example",
        ),
        protocol="smtp",
        attempt=3,
        client_ip=b"2001:db8::1",
        client_host=b"[UNAVAILABLE]",
        proxy_protocol=ProxyHeader(40, texts=ProxyTexts(b"10.0.0.1", b"1", b"10.0.0.2", b"25")),
        tls=TlsFacts(b"TLSv1.3", b"TLS_AES_128_GCM_SHA256", b"SUCCESS", replace(CERTIFICATE, pem=b"A %\nB\n")),
    )
    assert request_body(request).split(b"\r\n") == [
        b"Auth-Method: cram-md5",
        b"Auth-User: user",
        b"Auth-Pass: 0123",
        b"Auth-Salt: <1.2@host>",
        b"Auth-Protocol: smtp",
        b"Auth-Login-Attempt: 3",
        b"Client-IP: 2001:db8::1",
        b"Client-Host: [UNAVAILABLE]",
        b"Proxy-Protocol-Addr: 10.0.0.1",
        b"Proxy-Protocol-Port: 1",
        b"Proxy-Protocol-Server-Addr: 10.0.0.2",
        b"Proxy-Protocol-Server-Port: 25",
        b"Auth-SMTP-Helo: client.example",
        b"Auth-SMTP-From: MAIL FROM:<a@b> SIZE=1",
        b"Auth-SMTP-To: RCPT TO:<c@d>",
        b"Auth-SSL: on",
        b"Auth-SSL-Protocol: TLSv1.3",
        b"Auth-SSL-Cipher: TLS_AES_128_GCM_SHA256",
        b"Auth-SSL-Verify: SUCCESS",
        b"Auth-SSL-Subject: CN=client",
        b"Auth-SSL-Issuer: CN=ca",
        b"Auth-SSL-Serial: 0A",
        b"Auth-SSL-Fingerprint: ab12",
        b"Auth-SSL-Cert: A%20%25%0AB%0A",
        b"",
    ]


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (AuthMethod.PLAIN, b"plain"),
        (AuthMethod.LOGIN, b"plain"),
        (AuthMethod.APOP, b"apop"),
        (AuthMethod.CRAM_MD5, b"cram-md5"),
        (AuthMethod.EXTERNAL, b"external"),
        (AuthMethod.XOAUTH2, b"xoauth2"),
        (AuthMethod.OAUTHBEARER, b"oauthbearer"),
        (AuthMethod.NONE, b"none"),
    ],
)
def test_methods_have_nginx_names(method: AuthMethod, name: bytes) -> None:
    assert request_body(request_of(method=method)).startswith(b"Auth-Method: %b\r\n" % name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocols_have_nginx_names(protocol: str) -> None:
    body = request_body(replace(IMAP_LOGIN, protocol=protocol))
    assert b"\r\nAuth-Protocol: %b\r\n" % protocol.encode() in body


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        (b"", b""),
        (b"u\r\nb NOOP\r", b"u%0D%0Ab%20NOOP%0D"),
        (b"a%41", b"a%2541"),
        (bytes(range(0x21)), b"".join(b"%%%02X" % byte for byte in range(0x21))),
        (b'+"\\=&?', b'+"\\=&?'),
        (b"\x7f\x80\xff", b"%7F\x80\xff"),
    ],
)
def test_login_and_password_are_escaped_as_nginx_does(value: bytes, escaped: bytes) -> None:
    body = request_body(request_of(name=value, password=Secret(value)))
    assert b"\r\nAuth-User: %b\r\nAuth-Pass: %b\r\n" % (escaped, escaped) in body


def test_no_password_is_an_empty_one() -> None:
    assert b"\r\nAuth-Pass: \r\n" in request_body(request_of(password=None))


def test_a_proxy_header_without_addresses_sends_none() -> None:
    assert request_body(replace(IMAP_LOGIN, proxy_protocol=ProxyHeader(15))) == request_body(IMAP_LOGIN)


@pytest.mark.parametrize(
    ("tls", "last"),
    [
        (TlsFacts(b"TLSv1.2", b"X"), b"Auth-SSL-Cipher: X\r\n"),
        (TlsFacts(b"TLSv1.2", b"X", server_name=b"a.example"), b"Auth-SSL-Server-Name: a.example\r\n"),
        (TlsFacts(b"TLSv1.2", b"X", server_name=b"a%b"), b"Auth-SSL-Server-Name: a%25b\r\n"),
        (TlsFacts(b"TLSv1.2", b"X", b"NONE"), b"Auth-SSL-Verify: NONE\r\n"),
        (TlsFacts(b"TLSv1.2", b"X", b"FAILED:self-signed", CERTIFICATE), b"Auth-SSL-Fingerprint: ab12\r\n"),
    ],
)
def test_tls_headers_end_with_what_is_known(tls: TlsFacts, last: bytes) -> None:
    assert request_body(replace(IMAP_LOGIN, tls=tls)).endswith(last)


BAD_LINE = [b"a\r\nAuth-User: root", b"a\rb", b"a\nb", b"a\0b"]


@pytest.mark.parametrize("bad", BAD_LINE)
@pytest.mark.parametrize("field", ["helo", "mail", "rcpt"])
def test_a_raw_smtp_text_cannot_add_a_header(field: str, bad: bytes) -> None:
    texts = {"helo": b"h", "mail": b"m", "rcpt": b"r", field: bad}
    request = request_of(helo=texts["helo"], envelope=SmtpEnvelope(texts["mail"], texts["rcpt"]))
    with pytest.raises(ProtocolError) as error:
        TEMPLATE.request(request)
    assert error.value.party is Party.CLIENT


@pytest.mark.parametrize("bad", BAD_LINE)
def test_a_certificate_or_host_name_cannot_add_a_header(bad: bytes) -> None:
    for request in (
        replace(IMAP_LOGIN, tls=TlsFacts(b"p", b"c", b"SUCCESS", replace(CERTIFICATE, subject=bad))),
        replace(IMAP_LOGIN, client_host=bad),
    ):
        with pytest.raises(ProtocolError):
            TEMPLATE.request(request)


@given(st.binary(), st.binary())
def test_any_login_stays_in_its_line(login: bytes, password: bytes) -> None:
    request = request_of(name=login, password=Secret(password))
    assert request_body(request).count(b"\n") == request_body(IMAP_LOGIN).count(b"\n")


def test_a_request_shows_no_password() -> None:
    assert "hidden" not in repr(request_of(password=Secret(b"hidden")))
