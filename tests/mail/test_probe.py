from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing

import pytest

from mailworker.mail import probe as module
from mailworker.mail.probe import Envelope, Finding, Verdict
from mailworker.model import InetAddress, ProxyProtocol
from mailworker.tls.backend import BackendTls
from tests.mail.probing import findings
from tests.support.backend import Script, ScriptedServer, conversation, hang, hang_up
from tests.support.certificates import Certificate
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.settings import proxy_ssl_settings

GREETING, HELLO, OK = b"220 hi\r\n", b"250 me\r\n", b"250 2.1.0 Ok\r\n"
REFUSED = b"554 5.7.1 <probe@example.org>: Relay access denied\r\n"
SAID = b"EHLO mail.example.com\r\nMAIL FROM:<>\r\nRCPT TO:<probe@example.org>\r\n"


class Stage:
    def __init__(self) -> None:
        self.servers: list[ScriptedServer] = []

    def server(self, script: Script) -> ScriptedServer:
        self.servers.append(ScriptedServer(script))
        return self.servers[-1]


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    for server in stage.servers:
        server.stop()


def test_a_backend_that_refuses_strangers_is_told_from_others(stage: Stage) -> None:
    server = stage.server(conversation(GREETING, HELLO, OK, REFUSED))
    assert findings(server.address) == [
        Finding(
            "as the proxy", Verdict.REFUSES, "RCPT TO:<probe@example.org>",
            "554 5.7.1 <probe@example.org>: Relay access denied",
        )
    ]  # fmt: skip
    assert server.heard() == SAID + b"RSET\r\nQUIT\r\n"


def test_a_backend_that_relays_is_found_and_sent_no_mail(stage: Stage) -> None:
    server = stage.server(conversation(GREETING, HELLO, OK, OK))
    (finding,) = findings(server.address, Envelope("a@here.example", "b@there.example"))
    assert finding == Finding("as the proxy", Verdict.RELAYS, "RCPT TO:<b@there.example>", "250 2.1.0 Ok")
    assert server.heard() == (
        b"EHLO mail.example.com\r\nMAIL FROM:<a@here.example>\r\nRCPT TO:<b@there.example>\r\nRSET\r\nQUIT\r\n"
    )


@pytest.mark.parametrize(
    ("replies", "verdict", "command"),
    [
        ((GREETING, HELLO, b"530 5.7.0 Authentication required\r\n"), Verdict.REFUSES, "MAIL FROM:<>"),
        ((GREETING, HELLO, OK, b"550 relay not permitted\r\n"), Verdict.REFUSES, None),
        ((GREETING, HELLO, OK, b"513 Relaying denied.\r\n"), Verdict.REFUSES, None),
        ((GREETING, HELLO, OK, b"550-5.7.1 a\r\n550 5.7.1 b\r\n"), Verdict.REFUSES, None),
        ((GREETING, HELLO, OK, b"550 5.1.2 Domain not found\r\n"), Verdict.UNCLEAR, None),
        ((GREETING, HELLO, OK, b"556 5.1.10 Null MX\r\n"), Verdict.UNCLEAR, None),
        ((GREETING, HELLO, OK, b"451 4.7.1 Greylisted\r\n"), Verdict.UNCLEAR, None),
        ((GREETING, HELLO, OK, b"251 will forward\r\n"), Verdict.RELAYS, None),
        ((GREETING, HELLO, OK, b"nonsense\r\n"), Verdict.UNCLEAR, None),
        ((GREETING, HELLO, b"421 4.3.2 closing\r\n"), Verdict.UNCLEAR, "MAIL FROM:<>"),
        ((GREETING, b"502 no\r\n"), Verdict.UNCLEAR, "EHLO mail.example.com"),
        ((b"554 go away\r\n",), Verdict.UNCLEAR, "greeting"),
    ],
)
def test_each_reply_has_its_verdict(
    stage: Stage, replies: tuple[bytes, ...], verdict: Verdict, command: str | None
) -> None:
    (finding,) = findings(stage.server(conversation(*replies)).address)
    assert finding.verdict is verdict
    assert finding.command == command or (command is None and finding.command == "RCPT TO:<probe@example.org>")


def test_a_backend_that_nobody_reaches_is_unclear() -> None:
    with closing(Ports()) as ports:
        (finding,) = findings(InetAddress("127.0.0.1", ports["nobody"]))
    assert (finding.verdict, finding.reply) == (Verdict.UNCLEAR, "recv() failed (111: Connection refused)")


@pytest.mark.parametrize("script", [conversation(GREETING, then=hang_up), hang, conversation(b"x" * (1 << 17))])
def test_a_backend_that_goes_away_hangs_or_floods_is_unclear(
    stage: Stage, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.3)
    (finding,) = findings(stage.server(script).address)
    assert finding.verdict is Verdict.UNCLEAR


def test_what_a_backend_says_is_escaped(stage: Stage) -> None:
    (finding,) = findings(stage.server(conversation(GREETING, HELLO, OK, b'554 \x1b[31m"\r\n')).address)
    assert finding.reply == r"554 \x1B[31m\x22"


def test_where_xclient_is_taken_a_stranger_is_claimed_too_but_never_a_login(stage: Stage) -> None:
    hello = b"250-me\r\n250 XCLIENT NAME ADDR LOGIN\r\n"
    conversations = iter(
        (
            conversation(GREETING, hello, OK, REFUSED),
            conversation(GREETING, hello, GREETING, hello, OK, OK),
        )
    )

    def script(peer: Peer) -> None:
        next(conversations)(peer)

    server = stage.server(script)
    plain, claimed = findings(server.address)
    assert (plain.how, plain.verdict) == ("as the proxy", Verdict.REFUSES)
    assert (claimed.how, claimed.verdict) == ("by XCLIENT ADDR=192.0.2.1", Verdict.RELAYS)
    assert server.heard(1) == (
        b"EHLO mail.example.com\r\nXCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]\r\n" + SAID + b"RSET\r\nQUIT\r\n"
    )


@pytest.mark.parametrize("version", [ProxyProtocol.V1, ProxyProtocol.V2])
def test_a_proxy_header_names_a_stranger(stage: Stage, version: ProxyProtocol) -> None:
    server = stage.server(conversation(GREETING, HELLO, OK, REFUSED))
    assert findings(server.address, proxy_protocol=version)[0].verdict is Verdict.REFUSES
    header = server.heard().partition(b"EHLO")[0]
    stranger, proxy = bytes((192, 0, 2, 1)), bytes((127, 0, 0, 1))
    assert (b" 192.0.2.1 127.0.0.1 " if version is ProxyProtocol.V1 else stranger + proxy) in header


@pytest.mark.parametrize("starttls", [False, True])
def test_it_goes_over_tls_where_the_proxy_does(stage: Stage, certificate: Certificate, starttls: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)

    def script(peer: Peer) -> None:
        if starttls:
            peer.send(GREETING)
            peer.expect(b"EHLO mail.example.com\r\n")
            peer.send(HELLO)
            peer.expect(b"STARTTLS\r\n")
            peer.send(GREETING)
        peer.serve_tls(context)
        if starttls:
            peer.line()
        conversation(*(() if starttls else (GREETING,)), HELLO, OK, REFUSED)(peer)

    server = stage.server(script)
    tls = BackendTls.build(proxy_ssl_settings(starttls=starttls))
    assert findings(server.address, tls=tls)[0].verdict is Verdict.REFUSES
