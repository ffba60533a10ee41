"""Sessions that clients end, or that end because of them."""

from __future__ import annotations

from mailworker.config.access import ALL, Rule
from mailworker.mail.end import End
from mailworker.model import Starttls, VerifyClient
from tests.mail.cases import IMAP, POP3, SIEVE, SMTP
from tests.mail.crowds import limits
from tests.mail.limits.settings import limit, limits_of, settings
from tests.mail.stage import AGES, Stage, all_end_with, ends_with
from tests.support.auth import rejected
from tests.support.backend import hang, hang_up
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import (
    dialogue_settings,
    proxy_settings,
    ssl_settings,
)
from tests.tls.peers import client_context


@ends_with(End.CLIENT_CLOSED)
def client_closes(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    stage.relayed(proxy).end()
    return proxy


@ends_with(End.CLIENT_CLOSED)
def client_is_gone_while_the_backend_still_talks(stage: Stage) -> Proxy:
    def say_bye(peer: Peer) -> None:
        peer.rest()
        peer.send(b"* BYE\r\n")

    proxy = stage.proxy(backend=IMAP.script(say_bye))
    stage.relayed(proxy).close()
    return proxy


@ends_with(End.BACKEND_CLOSED)
def backend_closes(stage: Stage) -> Proxy:
    proxy = stage.proxy(backend=IMAP.script(hang_up))
    client = stage.relayed(proxy)
    client.rest()
    client.end()
    return proxy


@ends_with(End.FORBIDDEN_COMMAND)
def client_wants_to_be_another_user(stage: Stage) -> Proxy:
    proxy = stage.proxy(SIEVE)
    client = stage.greeted(proxy, SIEVE)
    client.talk((SIEVE.login, SIEVE.answer))
    client.send(b"UNAUTHENTICATE\r\n")
    client.rest()
    return proxy


@ends_with(End.FORBIDDEN_COMMAND)
def client_wants_to_be_another_user_at_once(stage: Stage) -> Proxy:
    proxy = stage.proxy(SIEVE)
    stage.greeted(proxy, SIEVE).send(SIEVE.login + b"UNAUTHENTICATE\r\n")
    while not proxy.ended:
        stage.scene.skip(0.0)
    return proxy


@ends_with(End.CLIENT_RESET)
def client_resets(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    stage.relayed(proxy).reset()
    return proxy


@ends_with(End.BACKEND_RESET)
def backend_resets(stage: Stage) -> Proxy:
    def reset_after_a_line(peer: Peer) -> None:
        peer.line()
        peer.reset()

    proxy = stage.proxy(backend=IMAP.script(reset_after_a_line))
    client = stage.relayed(proxy)
    client.send(b"one\r\n")
    client.rest()
    return proxy


@ends_with(End.PROXY_TIMEOUT)
def nobody_says_anything(stage: Stage) -> Proxy:
    proxy = stage.proxy(proxy=proxy_settings(timeout=AGES))
    stage.skip_until_over(proxy, stage.relayed(proxy))
    return proxy


all_end_with(
    End.QUIT,
    imap_logout=lambda stage: stage.said(b"a LOGOUT\r\n"),
    pop3_quit=lambda stage: stage.said(b"QUIT\r\n", POP3),
    smtp_quit=lambda stage: stage.said(b"QUIT\r\n", SMTP),
)


@ends_with(End.NO_BYTES)
def probe(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    proxy.connect().close()
    return proxy


@ends_with(End.NO_BYTES)
def probe_that_resets(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    stage.greeted(proxy).reset()
    return proxy


@ends_with(End.NO_BYTES)
def probe_of_a_tls_port(stage: Stage) -> Proxy:
    proxy = stage.tls()
    proxy.connect().close()
    return proxy


@ends_with(End.NO_BYTES)
def probe_that_shakes_hands(stage: Stage) -> Proxy:
    proxy = stage.tls()
    client = stage.scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.close()
    return proxy


@ends_with(End.NO_BYTES)
def probe_through_a_balancer(stage: Stage) -> Proxy:
    proxy = stage.proxy(proxy_protocol=True)
    client = stage.scene.client(proxy)
    client.send(b"PROXY UNKNOWN\r\n")
    client.expect(IMAP.greeting)
    client.close()
    return proxy


@ends_with(End.NO_BYTES)
def probe_that_does_not_wait_for_its_greeting(stage: Stage) -> Proxy:
    proxy = stage.proxy(SMTP, dialogue=dialogue_settings("smtp", greeting_delay=AGES))
    proxy.connect().close()
    return proxy


@ends_with(End.CLIENT_LEFT)
def client_leaves(stage: Stage) -> Proxy:
    proxy = stage.proxy()
    client = stage.greeted(proxy)
    client.talk(IMAP.noop)
    client.close()
    return proxy


@ends_with(End.CLIENT_LEFT)
def client_leaves_while_it_has_to_wait(stage: Stage) -> Proxy:
    proxy = stage.scene.proxy("imap", stage.scene.auth(rejected(b"no", (b"Auth-Wait", b"3600"))))
    client = stage.wants_in(proxy)
    proxy.log.find("client login failed")
    client.reset()
    return proxy


@ends_with(End.CLIENT_TIMEOUT)
def client_is_silent(stage: Stage) -> Proxy:
    proxy = stage.proxy(timeout=AGES)
    stage.skip_until_over(proxy, stage.greeted(proxy))
    return proxy


@ends_with(End.CLIENT_TIMEOUT)
def balancer_is_silent(stage: Stage) -> Proxy:
    proxy = stage.proxy(timeout=AGES, proxy_protocol=True)
    stage.skip_until_over(proxy, stage.scene.client(proxy))
    return proxy


@ends_with(End.TLS_FAILED)
def client_speaks_no_tls(stage: Stage) -> Proxy:
    proxy = stage.tls()
    client = stage.scene.client(proxy)
    client.send(b"a LOGIN u p\r\n")
    client.rest()
    return proxy


@ends_with(End.TLS_FAILED)
def client_leaves_after_starttls(stage: Stage) -> Proxy:
    proxy = stage.scene.tls_proxy("imap", stage.scene.auth(hang), starttls=Starttls.ON)
    client = stage.greeted(proxy)
    client.talk((b"a STARTTLS\r\n", b"a OK completed\r\n"))
    client.close()
    return proxy


@ends_with(End.TLS_TIMEOUT)
def client_is_silent_in_its_handshake(stage: Stage) -> Proxy:
    proxy = stage.tls(timeout=AGES)
    client = stage.scene.client(proxy)
    client.send(b"\x16\x03\x01")
    stage.skip_until_over(proxy, client)
    return proxy


@ends_with(End.PROXY_PROTOCOL)
def header_is_broken(stage: Stage) -> Proxy:
    proxy = stage.proxy(proxy_protocol=True)
    stage.scene.client(proxy).send(b"a LOGIN u p\r\n")
    return proxy


all_end_with(
    End.INVALID_COMMAND,
    command_is_too_long=lambda stage: stage.said(b"x" * 10_000),
    literal_is_too_large=lambda stage: stage.said(b"a LOGIN {9999999+}\r\n"),
    login_that_no_backend_may_see=lambda stage: stage.said(b"a LOGIN u {3+}\r\np\0q\r\n"),
)


all_end_with(
    End.CERT_REFUSED,
    certificate_of_a_stranger=lambda stage: _with_certificate(stage, stranger=True),
)


all_end_with(
    End.CERT_MISSING,
    no_certificate=lambda stage: _with_certificate(stage, stranger=False),
)


def _with_certificate(stage: Stage, *, stranger: bool) -> Proxy:
    authority = CertificateAuthority(stage.folder)
    settings = ssl_settings(
        stage.scene.certificate, verify_client=VerifyClient.ON, client_certificate=str(authority.path)
    )
    proxy = stage.scene.proxy("imap", stage.scene.auth(hang), ssl=settings, implicit_tls=True)
    (stage.folder / "others").mkdir()
    others = CertificateAuthority(stage.folder / "others", "Unknown authority")
    certificate = others.issue_client("stranger", ecdsa_key(), "A stranger") if stranger else None
    client = stage.scene.client(proxy)
    client.start_tls(client_context(certificate=certificate))
    client.rest()
    client.end()  # or the proxy waits for it
    return proxy


all_end_with(
    End.TOO_MANY_ERRORS,
    errors=lambda stage: stage.said(b"x\r\n" * 5),
)


all_end_with(
    End.TOO_MANY_COMMANDS,
    commands=lambda stage: stage.said(b"a NOOP\r\n" * 3, max_commands=2),
)


@ends_with(End.PREGREET)
def client_does_not_wait_for_its_greeting(stage: Stage) -> Proxy:
    proxy = stage.proxy(SMTP, dialogue=dialogue_settings("smtp", greeting_delay=AGES))
    stage.scene.client(proxy).send(b"EHLO a\r\n")
    return proxy


@ends_with(End.DENIED)
def client_is_named_by_deny(stage: Stage) -> Proxy:
    proxy = stage.proxy(access=(Rule(False, ALL),))
    stage.scene.client(proxy).rest()
    return proxy


@ends_with(End.BANNED)
def client_is_banned(stage: Stage) -> Proxy:
    proxy = stage.proxy(limit_auth=settings(limit(0, ban=AGES)))
    (limited,) = limits_of(proxy)
    limited.table.ban(b"\x7f\0\0\1", proxy._loop.now, AGES)
    stage.scene.client(proxy).rest()
    return proxy


@ends_with(End.LIMIT_AUTH)
def client_tries_too_often(stage: Stage) -> Proxy:
    proxy = stage.proxy(limit_auth=settings(limit(0)))
    client = stage.greeted(proxy)
    client.send(b"a AUTHENTICATE NTLM\r\n" * 2)
    client.rest()
    return proxy


@ends_with(End.LIMIT_CONN)
def client_is_one_too_many(stage: Stage) -> Proxy:
    proxy = stage.proxy(limit_conn=limits(("a", "$remote_addr", 1)))
    proxy.conns["a"].hold(b"127.0.0.1", 1)
    stage.scene.client(proxy).rest()
    return proxy
