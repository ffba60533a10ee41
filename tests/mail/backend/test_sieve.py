"""Logging in at ManageSieve backends of every kind, and what becomes of a client that they do not let in."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from typing import Any

import pytest

from mailworker.config.source import ByBackendSettings
from mailworker.model import AuthMethod
from tests.mail.cases import CREDENTIALS, SIEVE
from tests.mail.conftest import Scene
from tests.support.backend import Script, conversation, echo, hang_up, reset
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import NOWHERE, dialogue_settings, proxy_pass, proxy_settings, proxy_ssl_settings

DOVECOT = (
    b'"IMPLEMENTATION" "Dovecot Pigeonhole"\r\n"SIEVE" "fileinto"\r\n"NOTIFY" "mailto"\r\n"SASL" "PLAIN LOGIN"\r\n'
    b'"VERSION" "1.0"\r\nOK "Dovecot ready."\r\n'
)
CYRUS = (
    b'"IMPLEMENTATION" "Cyrus timsieved v3"\r\n"VERSION" "1.0"\r\n"SASL" "PLAIN"\r\n"SIEVE" "fileinto"\r\n'
    b'"UNAUTHENTICATE"\r\nOK\r\n'
)
STALWART = (
    b'"IMPLEMENTATION" "Stalwart"\r\n"VERSION" "1.0"\r\n"SASL" "PLAIN OAUTHBEARER"\r\n"SIEVE" "x"\r\nOK "Ready"\r\n'
)
LITERALS = b'{14}\r\nIMPLEMENTATION "x"\r\n"SASL" {5}\r\nPLAIN\r\nOK {7}\r\nOK\r\nin.\r\n'
MINIMAL = b"OK\r\n"
GREETINGS = {"Dovecot": DOVECOT, "Cyrus": CYRUS, "Stalwart": STALWART, "literals": LITERALS, "no capabilities": MINIMAL}
YES = {
    "quoted": b'OK "Logged in."\r\n',
    "bare": b"OK\r\n",
    "a literal": b"OK {11}\r\nlogged\r\nin.\r\n",
    "a code": b'OK (SASL "dj1h") "in"\r\n',
    "small letters": b"ok\r\n",
}
LOGIN = b'AUTHENTICATE "PLAIN" "%b"\r\n' % CREDENTIALS
TEMPORARY = b'NO (TRYLATER) "Account is temporarily unavailable."\r\n'
MISCONFIGURED = b'NO (TRYLATER/NORETRY) "Account is temporarily unavailable."\r\n'
WRONG = b'NO "Authentication failed."\r\n'


def slowly(greeting: bytes, answer: bytes) -> Script:
    """A server whose bytes come one by one."""

    def follow(peer: Peer) -> None:
        peer.send_slowly(greeting)
        peer.line()
        peer.send_slowly(answer)
        echo(peer)

    return follow


class Stage:
    """A proxy with one backend that follows a script for each login, and a client that has been greeted.

    The auth service lets everybody in, or, with `deciding`, the backend judges.
    """

    def __init__(
        self,
        scene: Scene,
        *scripts: Script,
        deciding: bool = False,
        tls: bool = False,
        xclient: bool = False,
        **changes: Any,
    ) -> None:
        self.backend = scene.in_turn(*scripts)
        proxy = proxy_settings(
            backend=proxy_pass(self.backend.address) if deciding else None,
            ssl=proxy_ssl_settings(starttls=True) if tls else None,
            sieve_xclient=xclient,
        )
        if deciding:
            changes["source"] = ByBackendSettings()
        auth = NOWHERE if deciding else scene.auth_for(self.backend)
        dialogue = dialogue_settings("sieve", auth=AuthMethod(255))
        self.proxy: Proxy = scene.proxy("sieve", auth, proxy=proxy, dialogue=dialogue, **changes)
        self.client = scene.client(self.proxy)
        while not self.client.line().startswith(b"OK"):
            pass


def greeted(scene: Scene, stage: Stage) -> Peer:
    """Another client."""
    client = scene.client(stage.proxy)
    while not client.line().startswith(b"OK"):
        pass
    return client


accepting = conversation(DOVECOT, YES["quoted"], then=echo)
of_both = pytest.mark.parametrize("deciding", [False, True], ids=["auth_http", "auth_upstream"])


@pytest.mark.parametrize("answer", YES.values(), ids=YES)
@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_a_login_at_every_kind_of_backend_leads_to_a_relay(scene: Scene, greeting: bytes, answer: bytes) -> None:
    stage = Stage(scene, conversation(greeting, answer, then=echo), slowly(greeting, answer))
    for client in (stage.client, greeted(scene, stage)):
        client.talk((LOGIN, answer), (b'NOOP "x"\r\n', b'NOOP "x"\r\n'))
    for number in range(2):
        assert stage.backend.peer(number).received == LOGIN + b'NOOP "x"\r\n'


def test_the_end_of_a_literal_that_comes_late_belongs_to_the_answer(scene: Scene) -> None:
    def script(peer: Peer) -> None:
        peer.send(DOVECOT)
        peer.line()
        peer.send(b"OK {5}\r\n")
        peer.send(b"hello\r\n")
        echo(peer)

    Stage(scene, script).client.talk((LOGIN, b"OK {5}\r\nhello\r\n"), (b"NOOP\r\n", b"NOOP\r\n"))


TRUSTING = DOVECOT.replace(b"OK", b'"XCLIENT"\r\nOK')
TOLD = re.compile(
    rb"XCLIENT ADDR=127\.0\.0\.1 PORT=([0-9]+) DESTADDR=127\.0\.0\.1 DESTPORT=([0-9]+) SESSION=[\w-]{16} TTL=6 "
    rb"CLIENT-TRANSPORT=insecure\r\n" + re.escape(LOGIN)
)


@of_both
@pytest.mark.parametrize("answer", [b'OK "Updated"\r\n', b"ok\r\n"])
def test_a_backend_that_lists_xclient_hears_who_the_client_is(scene: Scene, answer: bytes, deciding: bool) -> None:
    scripts = [conversation(TRUSTING, answer, YES["quoted"], then=echo)] * 3
    stage = Stage(scene, *scripts, deciding=deciding, xclient=True)
    for number in range(3):
        client = stage.client if number == 0 else greeted(scene, stage)
        client.talk((LOGIN, YES["quoted"]))
        told = TOLD.fullmatch(stage.backend.peer(number).received)
        assert told is not None
        assert (int(told[1]), int(told[2])) == (client.address[1], stage.proxy.address[1])
        client.close()


@pytest.mark.parametrize(("greeting", "xclient"), [(TRUSTING, False), (DOVECOT, True), (MINIMAL, True)])
def test_a_backend_that_lists_no_xclient_or_is_to_be_told_nothing_hears_nothing(
    scene: Scene, greeting: bytes, xclient: bool
) -> None:
    stage = Stage(scene, conversation(greeting, YES["quoted"], then=echo), xclient=xclient)
    stage.client.talk((LOGIN, YES["quoted"]))
    assert stage.backend.peer().received == LOGIN


@pytest.mark.parametrize("answer", [b'NO "Error in MANAGESIEVE command"\r\n', b'BYE "no"\r\n', b'""\r\n', b"what\r\n"])
def test_what_is_no_success_of_xclient_ends_the_login(scene: Scene, answer: bytes) -> None:
    stage = Stage(scene, conversation(TRUSTING, answer), xclient=True)
    stage.client.talk((LOGIN, TEMPORARY))
    stage.proxy.log.find("upstream sent invalid response: ")
    heard = stage.backend.heard()
    assert heard.startswith(b"XCLIENT ")
    assert b"AUTHENTICATE" not in heard


@pytest.mark.parametrize("challenge", [b'""\r\n', b"{0}\r\n", b"{0}\r\n\r\n", b'"eA=="\r\n', b"{4}\r\neA==\r\n"])
def test_a_backend_that_asks_although_it_was_told_is_told_again(scene: Scene, challenge: bytes) -> None:
    stage = Stage(scene, conversation(CYRUS, challenge, b"OK\r\n", then=echo))
    stage.client.talk((LOGIN, b"OK\r\n"), (b"NOOP\r\n", b"NOOP\r\n"))
    assert stage.backend.peer().received == LOGIN + b'"%b"\r\nNOOP\r\n' % CREDENTIALS


def test_a_response_of_more_than_1024_bytes_is_a_literal(scene: Scene) -> None:
    """KMail quotes it, whatever its length; RFC 5804 section 4 allows 1,024 bytes, and strict servers no more."""
    response = b64encode(b"\0user@example.com\0" + b"x" * 3000)
    stage = Stage(scene, accepting)
    stage.client.send(b'AUTHENTICATE "PLAIN" "%b"\r\n' % response)
    stage.client.expect(YES["quoted"])
    expected = b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(response), response)
    assert stage.backend.peer().received == expected


@pytest.mark.parametrize("name", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
@pytest.mark.parametrize("asks", [b"", b'""\r\n', b"{0}\r\n"], ids=repr)
def test_a_token_goes_on_to_a_backend_that_decides(scene: Scene, name: AuthMethod, asks: bytes) -> None:
    token = b64encode(
        b"user=u\1auth=Bearer t\1\1" if name is AuthMethod.XOAUTH2 else b"n,a=u,\1auth=Bearer t\1\1",
    )
    greeting = b'"SASL" "PLAIN XOAUTH2 OAUTHBEARER"\r\nOK\r\n'
    stage = Stage(scene, conversation(greeting, *[asks] * bool(asks), b"OK\r\n", then=echo), deciding=True)
    mechanism = name.name.encode()  # type: ignore[union-attr]
    stage.client.talk((b'AUTHENTICATE "%b" "%b"\r\n' % (mechanism, token), b"OK\r\n"))
    again = b'"%b"\r\n' % token if asks else b""
    assert stage.backend.peer().received == b'AUTHENTICATE "%b" "%b"\r\n' % (mechanism, token) + again


@pytest.mark.parametrize(
    ("mechanism", "response", "acknowledgment"),
    [
        (b"XOAUTH2", b64encode(b"user=u\1auth=Bearer t\1\1"), b'""\r\n'),
        (b"OAUTHBEARER", b64encode(b"n,a=u,\1auth=Bearer t\1\1"), b'"AQ=="\r\n'),
    ],
)
@pytest.mark.parametrize("reason", [b'"e30="\r\n', b"{4}\r\ne30=\r\n"])
def test_the_reason_against_a_token_comes_to_the_client(
    scene: Scene, mechanism: bytes, response: bytes, acknowledgment: bytes, reason: bytes
) -> None:
    script = conversation(b'"SASL" "XOAUTH2 OAUTHBEARER"\r\nOK\r\n', reason, b'NO "bad token"\r\n')
    stage = Stage(scene, script, accepting, deciding=True)
    stage.client.talk((b'AUTHENTICATE "%b" "%b"\r\n' % (mechanism, response), b'"e30="\r\n'), (b'""\r\n', WRONG))
    assert stage.backend.heard().endswith(acknowledgment)
    stage.client.talk((LOGIN, YES["quoted"]))


FAILURES: dict[str, tuple[Script, bytes]] = {
    "a wrong password": (conversation(DOVECOT, b'NO "Authentication failed: no such user."\r\n'), WRONG),
    "without a text": (conversation(CYRUS, b"NO\r\n"), WRONG),
    "with a literal as its text": (conversation(CYRUS, b"NO {5}\r\nwrong\r\n"), WRONG),
    "later": (conversation(DOVECOT, b'NO (TRYLATER) "Come later."\r\n'), b'NO (TRYLATER) "Come later."\r\n'),
    "too many of them": (  # Dovecot's proxy sends its client nothing
        conversation(DOVECOT, b'NO (LIMIT/CONNECTIONS) "Too many (you)."\r\n'),
        b'NO (LIMIT/CONNECTIONS) "Too many (you)."\r\n',
    ),
    "a parenthesis in a string of its code": (  # Dovecot's proxy takes it for the end of the code
        conversation(DOVECOT, b'NO (X-HINT "a) b") "c"\r\n'),
        b'NO (X-HINT) "c"\r\n',
    ),
    "TLS is needed": (conversation(DOVECOT, b'NO (ENCRYPT-NEEDED) "TLS, please"\r\n'), MISCONFIGURED),
    "BYE": (conversation(DOVECOT, b'BYE "Shutting down"\r\n'), TEMPORARY),
    "BYE at once": (conversation(b'BYE "Shutting down"\r\n'), TEMPORARY),
    "NO at once": (conversation(b'NO (TRYLATER) "Out of order"\r\n'), TEMPORARY),
    "a referral": (conversation(DOVECOT, b'NO (REFERRAL "sieve://elsewhere") "Go there"\r\n'), TEMPORARY),
    "a referral and BYE": (conversation(CYRUS, b'BYE (REFERRAL "sieve://elsewhere") "Try Remote."\r\n'), TEMPORARY),
    "a referral and OK": (conversation(CYRUS, b'OK (REFERRAL "sieve://elsewhere") "in"\r\n'), TEMPORARY),
    "no mechanism": (conversation(b'"SASL" ""\r\nOK\r\n'), MISCONFIGURED),
    "another mechanism": (conversation(b'"SASL" "GSSAPI"\r\nOK\r\n'), MISCONFIGURED),
    "TLS is needed first": (conversation(b'"SIEVE" "x"\r\n"STARTTLS"\r\nOK\r\n'), MISCONFIGURED),
    "another protocol": (conversation(b"* OK IMAP ready\r\n"), TEMPORARY),
    "garbage": (conversation(b"\0\xff\r\n"), TEMPORARY),
    "a list without end": (conversation(b'"SIEVE" "x"\r\n' * 1000), TEMPORARY),
    "a literal of 2^32 bytes": (conversation(b'"SIEVE" {4294967296}\r\n'), TEMPORARY),
    "parentheses without end": (conversation(DOVECOT, b"NO (X " + b"(" * 1000 + b")" * 1001 + b' "deep"\r\n'),
                                b'NO (X) "deep"\r\n'),
    "nothing": (hang_up, TEMPORARY),
    "nothing after the password": (conversation(DOVECOT, b"", then=hang_up), TEMPORARY),
    "a reset": (reset, TEMPORARY),
}  # fmt: skip


@of_both
@pytest.mark.parametrize(("script", "heard"), FAILURES.values(), ids=FAILURES)
def test_a_client_hears_why_it_is_not_let_in_and_may_try_again(
    scene: Scene, script: Script, heard: bytes, deciding: bool
) -> None:
    stage = Stage(scene, script, accepting, deciding=deciding)
    stage.client.talk((LOGIN, heard), (b"NOOP\r\n", b'OK "Done."\r\n'), (LOGIN, YES["quoted"]))


@pytest.mark.parametrize(
    "greeting", [b'"SASL" ""\r\nOK\r\n', b'"SASL" "GSSAPI"\r\nOK\r\n', b'"STARTTLS"\r\nOK\r\n'], ids=repr
)
def test_no_password_goes_to_a_backend_that_cannot_use_it(scene: Scene, greeting: bytes) -> None:
    stage = Stage(scene, conversation(greeting))
    stage.client.talk((LOGIN, MISCONFIGURED))
    assert stage.backend.heard() == b""


def test_a_backend_that_is_not_there_is_a_matter_of_time(scene: Scene) -> None:
    auth = scene.auth(
        b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: %d\r\n\r\n" % NOWHERE.port
    )
    client = scene.client(scene.proxy("sieve", auth))
    client.expect(SIEVE.greeting)
    client.talk((SIEVE.login, TEMPORARY), SIEVE.noop)


def test_failures_are_counted(scene: Scene) -> None:
    refusing = conversation(DOVECOT, b'NO "wrong"\r\n')
    stage = Stage(scene, *[refusing] * 3, max_errors=3)
    for _ in range(3):
        stage.client.talk((LOGIN, WRONG))
    assert stage.client.rest() == b""


@pytest.mark.parametrize(
    "greeting", [DOVECOT, b'"IMPLEMENTATION" "Cyrus"\r\n"SIEVE" "x"\r\nOK\r\n'], ids=["listed", "missing"]
)
def test_starttls_comes_first_where_it_shall_and_a_list_in_tls(scene: Scene, greeting: bytes) -> None:
    """Cyrus lists no SASL before TLS where TLS is needed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scene.certificate.certificate, scene.certificate.key)

    def script(peer: Peer) -> None:
        peer.send(greeting.replace(b"OK", b'"STARTTLS"\r\nOK', 1))
        assert peer.line() == b"STARTTLS\r\n"
        peer.send(b"OK\r\n")
        peer.serve_tls(context)
        peer.send(DOVECOT)
        assert peer.line() == LOGIN
        peer.send(b"OK\r\n")
        echo(peer)

    stage = Stage(scene, script, tls=True)
    stage.client.talk((LOGIN, b"OK\r\n"), (b"NOOP\r\n", b"NOOP\r\n"))


def test_a_backend_without_starttls_is_told_no_password_in_clear(scene: Scene) -> None:
    stage = Stage(scene, conversation(DOVECOT), tls=True)
    stage.client.talk((LOGIN, MISCONFIGURED))
    assert stage.backend.heard() == b""
    assert "[error]" in stage.proxy.log.find("upstream does not offer STARTTLS while reading response from upstream, ")
