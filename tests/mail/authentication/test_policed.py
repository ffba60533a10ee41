"""A policy service is asked about logins and told of them, over real sockets."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from ipaddress import ip_network
from math import inf
from typing import Any

import pytest

from mailworker.config.auth_policy import AuthPolicySettings, PolicyCheck
from mailworker.config.source import ByBackendSettings
from mailworker.mail.authentication.policed import LONGEST_WAIT
from mailworker.mail.end import End
from mailworker.model import AuthMethod, InetAddress
from mailworker.variables.template import parse
from mailworker.wire.auth_policy import hashed
from mailworker.wire.proxy_protocol import build_v1
from tests.mail.cases import IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.limits.settings import delay, login
from tests.mail.limits.settings import settings as limit_settings
from tests.mail.test_record import record_of
from tests.support.auth import accepted, rejected, wait
from tests.support.backend import conversation, hang
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.policy_service import PolicyService, response
from tests.support.settings import auth_http_settings, dialogue_settings, proxy_pass, proxy_settings
from tests.tls.peers import client_context

NONCE = b"a nonce"
TEMPORARY = {
    "imap": b"a1 NO [UNAVAILABLE] Temporary authentication failure\r\n",
    "pop3": b"-ERR [SYS/TEMP] Temporary authentication failure\r\n",
    "smtp": b"454 4.7.0 Temporary authentication failure\r\n",
}


class Police:
    """A service, and the settings that lead to it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.service = PolicyService()
        scene._servers.append(self.service)

    def settings(self, **changes: Any) -> AuthPolicySettings:
        fields: dict[str, Any] = {
            **{"address": self.service.address, "host": b"policy.example", "uri": b"/", "timeout": PATIENCE},
            **{"headers": (), "nonce": NONCE},
            **changes,
        }
        return AuthPolicySettings(**fields)

    def says(self, status: int, text: str = "", command: str = "allow") -> None:
        self.service.say = lambda asked, _: {"status": status, "msg": text} if asked == command else {"status": "ok"}

    def log_in(self, case: Case, *auth: bytes, **changes: Any) -> tuple[Peer, Any]:
        """A client that has sent its login, and the proxy."""
        backend = self.scene.backend(case.script())
        answers = auth or (accepted(backend.address),)
        proxy = self.scene.proxy(case.protocol, self.scene.auth(*answers), policy=self.settings(**changes))
        client = self.scene.client(proxy)
        client.expect(case.greeting)
        client.send(case.login)
        return client, proxy


@pytest.fixture
def police(scene: Scene) -> Police:
    return Police(scene)


@all_protocols
def test_it_is_asked_before_and_told_after(police: Police, case: Case) -> None:
    client, _ = police.log_in(case)
    client.expect(case.answer)
    allow, report = police.service.wait(2)
    assert (allow.command, report.command) == ("allow", "report")
    session = allow.fields.pop("session_id")
    assert len(session) > 10
    assert allow.fields == {
        "login": "user@example.com",
        "pwhash": hashed(NONCE, b"user@example.com", b"secret"),
        "remote": "127.0.0.1",
        "device_id": "",
        "protocol": case.protocol,
        "tls": False,
    }
    outcome = {"session_id": session, "success": True, "policy_reject": False, "fail_type": ""}
    assert report.fields == allow.fields | outcome
    assert b"secret" not in b"".join(asked.head for asked in (allow, report))
    assert allow.connection == report.connection  # which was kept


def test_all_are_told_of_tls(police: Police) -> None:
    auth = police.scene.auth(rejected(b"no"))
    proxy = police.scene.tls_proxy("imap", auth, policy=police.settings(), implicit_tls=True)
    client = police.scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.talk((IMAP.login, b"a1 NO no\r\n"))
    assert police.service.wait(1)[0].fields["tls"] is True
    assert (auth.header(b"Auth-SSL"), auth.header(b"Auth-SSL-Protocol")) == (b"on", b"TLSv1.3")


@pytest.mark.parametrize("client", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"])
def test_it_hears_one_address_of_a_client_whatever_socket_it_came_by(police: Police, client: str) -> None:
    trusted = (ip_network("127.0.0.0/8"),)
    auth = police.scene.auth(rejected(b"no"))
    proxy = police.scene.proxy("imap", auth, policy=police.settings(), proxy_protocol=True, real_ip_from=trusted)
    peer = police.scene.client(proxy)
    peer.send(build_v1(InetAddress(client, 4711), InetAddress("2001:db8::1" if ":" in client else "192.0.2.1", 143)))
    peer.expect(IMAP.greeting)
    peer.talk((IMAP.login, b"a1 NO no\r\n"))
    assert police.service.wait(1)[0].fields["remote"] == client.removeprefix("::ffff:")
    assert auth.header(b"Client-IP") == client.encode()


@all_protocols
def test_whom_it_refuses_hears_of_no_wrong_password_and_nobody_else_is_asked(police: Police, case: Case) -> None:
    police.says(-1, 'too "many"')
    auth = police.scene.auth(hang)
    proxy = police.scene.proxy(case.protocol, auth, policy=police.settings())
    client = police.scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, TEMPORARY[case.protocol]))
    assert auth.requests == []
    assert proxy.log.find("refused by policy").startswith(
        '[info] *1 client login refused by policy: "too \\x22many\\x22" while in auth policy state, client: 127.0.0.1'
    )
    _, report = police.service.wait(2)
    assert (report.fields["success"], report.fields["policy_reject"]) == (False, True)
    assert report.fields["fail_type"] == "policy"


def test_a_refused_login_is_told_as_such(police: Police) -> None:
    client, _ = police.log_in(IMAP, rejected(b"no"))
    client.expect(b"a1 NO no\r\n")
    _, report = police.service.wait(2)
    assert (report.fields["success"], report.fields["policy_reject"]) == (False, False)
    assert report.fields["fail_type"] == "credentials"


def test_a_login_that_nobody_could_judge_is_told_as_such(police: Police) -> None:
    client, _ = police.log_in(IMAP, b"HTTP/1.0 500 broken\r\n\r\n")
    client.expect(IMAP.error)
    _, report = police.service.wait(2)
    assert (report.fields["success"], report.fields["fail_type"]) == (False, "internal")


def test_it_may_let_a_client_wait(police: Police) -> None:
    police.says(LONGEST_WAIT + 1000)
    client, _ = police.log_in(IMAP)
    police.service.wait(1)
    assert client.is_silent()
    police.scene.skip(LONGEST_WAIT - 3.0)
    assert client.is_silent()
    police.scene.skip(5.0)
    client.send(b"")
    client.expect(IMAP.answer)


def test_no_more_than_a_tenth_of_all_connections_wait(police: Police) -> None:
    police.says(1000)
    backend = police.scene.backend(IMAP.script())
    proxy = police.scene.proxy(
        "imap", police.scene.auth(accepted(backend.address)), policy=police.settings(), worker_connections=20
    )
    clients = [police.scene.client(proxy) for _ in range(3)]
    for client in clients:
        client.expect(IMAP.greeting)
    for number, client in enumerate(clients, 1):
        client.send(IMAP.login)
        police.service.wait(number)
        if number < len(clients):
            proxy.connections_in_use(1 + len(clients))  # the answer was read, and its connection is idle
    clients[2].expect(IMAP.answer)
    assert all(client.is_silent() for client in clients[:2])


def test_who_waits_for_it_is_counted_with_those_whom_limits_hold_back(police: Police) -> None:
    """All that a worker holds back together are a tenth of its connections."""
    backend = police.scene.backend(IMAP.script())
    auth = police.scene.auth(rejected(b"no"), rejected(b"no"), accepted(backend.address))
    proxy = police.scene.proxy(
        "imap", auth, policy=police.settings(), limit_auth=limit_settings(delay=delay(30.0, inf)), worker_connections=20
    )
    police.says(0)
    refused = [police.scene.client(proxy) for _ in range(2)]
    for number, client in enumerate(refused, 1):
        client.expect(IMAP.greeting)
        client.send(login(IMAP, b"guess%d" % number))
        police.service.wait(2 * number)
    assert all(client.is_silent() for client in refused)
    police.says(1000)
    third = police.scene.client(proxy)
    third.expect(IMAP.greeting)
    third.talk((IMAP.login, IMAP.answer))
    police.scene.skip(31.0)
    for client in refused:
        client.expect(b"a1 NO no\r\n")


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (hang, "timed out (110: Connection timed out)"),
        (lambda peer: peer.close(), "prematurely closed connection"),
        (lambda peer: peer.reset(), "recv() failed (104: Connection reset by peer)"),
        (response(b"{}", status=b"500 oh"), "sent HTTP status 500"),
        (response(b"maybe"), "sent invalid JSON"),
        (response(b'{"status":"failure"}'), 'sent no number as "status"'),
    ],
    ids=["silence", "an end", "a reset", "a status", "no JSON", "no number"],
)
def test_a_service_that_does_not_answer_lets_in_or_not_as_it_was_said(
    police: Police, said: Any, fault: str, closed: bool
) -> None:
    police.service.say = lambda *_: said
    timeout = 0.2 if said is hang else PATIENCE
    client, proxy = police.log_in(IMAP, closed=closed, timeout=timeout, report=False)
    client.expect(TEMPORARY["imap"] if closed else IMAP.answer)
    address = police.service.address
    found = proxy.log.find("auth policy server")
    assert found.startswith(f"[error] *1 auth policy server {address}")
    assert fault in found
    assert 'login: "user@example.com"' in found


def test_a_service_that_is_not_there_is_one_that_does_not_answer(police: Police) -> None:
    client, proxy = police.log_in(IMAP, address=InetAddress("127.0.0.1", 1), closed=True)
    client.expect(TEMPORARY["imap"])
    assert "(111: Connection refused)" in proxy.log.find("auth policy server")
    assert "(111: Connection refused) while in http auth state" in proxy.log.find("while in http auth state")


@pytest.mark.parametrize("check", PolicyCheck)
def test_it_is_asked_when_it_was_said(police: Police, check: PolicyCheck) -> None:
    client, _ = police.log_in(IMAP, check=check)
    client.expect(IMAP.answer)
    count = {PolicyCheck.OFF: 0, PolicyCheck.BOTH: 2}.get(check, 1)
    assert police.service.commands(count + 1) == ["allow"] * count + ["report"]


def test_it_may_refuse_who_has_the_right_password(police: Police) -> None:
    police.says(-1)
    client, _ = police.log_in(IMAP, check=PolicyCheck.AFTER)
    client.expect(TEMPORARY["imap"])
    assert police.service.wait(2)[1].fields["policy_reject"]


def test_who_has_the_right_password_need_not_wait(police: Police) -> None:
    police.says(LONGEST_WAIT)
    client, _ = police.log_in(IMAP, check=PolicyCheck.AFTER)
    client.expect(IMAP.answer)


def test_it_need_not_be_told(police: Police) -> None:
    client, proxy = police.log_in(IMAP, report=False)
    client.talk((b"", IMAP.answer))
    client.end()
    assert record_of(proxy).reason is End.CLIENT_CLOSED
    assert police.service.commands(1) == ["allow"]


def test_attributes_say_more(police: Police) -> None:
    attributes = (("port", parse(b"$remote_port")), ("site", b"a"))
    client, _ = police.log_in(IMAP, attributes=attributes)
    client.expect(IMAP.answer)
    assert police.service.wait(1)[0].fields["attrs"] == {"port": str(client.address[1]), "site": "a"}


def test_a_kept_connection_that_the_service_has_closed_is_replaced(police: Police) -> None:
    client, proxy = police.log_in(IMAP)
    client.expect(IMAP.answer)
    police.service.wait(2)
    police.service.peers[0].give_up()
    second = police.scene.client(proxy)
    second.expect(IMAP.greeting)
    second.talk((IMAP.login, IMAP.answer))
    assert police.service.wait(3)[2].connection == 1


@pytest.mark.parametrize(
    ("said", "heard", "connections"),
    [(b"", IMAP.answer, [0, 0, 0, 1]), (b"HTTP/1.1 200 OK\r\n", TEMPORARY["imap"], [0, 0, 0])],
    ids=["without a word", "in an answer"],
)
@pytest.mark.parametrize("end", [Peer.end, Peer.reset], ids=["an end", "a reset"])
def test_it_is_asked_again_if_a_kept_connection_ends_without_a_word(
    police: Police, end: Callable[[Peer], None], said: bytes, heard: bytes, connections: list[int]
) -> None:
    def leave(peer: Peer) -> None:
        peer.send(said)
        end(peer)

    client, proxy = police.log_in(IMAP, closed=True)
    client.expect(IMAP.answer)
    police.service.wait(2)
    police.service.say = lambda *_: leave if len(police.service.asked) == 3 else {"status": 0}
    second = police.scene.client(proxy)
    second.expect(IMAP.greeting)
    second.talk((IMAP.login, heard))
    assert [asked.connection for asked in police.service.wait(4)][: len(connections)] == connections
    assert any("[error]" in line for line in proxy.log.lines) is (heard != IMAP.answer)


def test_the_source_of_logins_may_let_a_client_wait_too(police: Police) -> None:
    backend = police.scene.backend(IMAP.script())
    client, _ = police.log_in(IMAP, wait(b"5"), accepted(backend.address))
    police.service.wait(1)
    assert client.is_silent()
    police.scene.skip(6.0)
    client.expect(IMAP.answer)
    assert police.service.commands(2) == ["allow", "report"]


@pytest.mark.parametrize("decides", [False, True], ids=["a service decides", "the backend decides"])
def test_mail_of_a_sender_without_a_login_is_no_matter_of_the_police(police: Police, decides: bool) -> None:
    fine = b"250 fine\r\n"
    backend = police.scene.backend(conversation(*SMTP.backend, fine, fine))
    auth = police.scene.auth_for(backend).address
    proxy = police.scene.proxy(
        "smtp", auth, policy=police.settings(), source=ByBackendSettings() if decides else auth_http_settings(auth),
        dialogue=dialogue_settings("smtp", auth=AuthMethod.NONE),
        proxy=proxy_settings(backend=proxy_pass(backend.address)),
    )  # fmt: skip
    client = police.scene.client(proxy)
    client.expect(SMTP.greeting)
    client.talk((b"MAIL FROM:<a@b>\r\n", SMTP.noop[1]), (b"RCPT TO:<c@d>\r\n", fine))
    client.close()
    proxy.service_is_idle()
    assert police.service.asked == []


@pytest.mark.parametrize(
    ("answer", "fail_type"),
    [
        (b"a1 OK in", ""),
        (b"a1 NO [AUTHENTICATIONFAILED] no", "credentials"),
        (b"a1 NO [UNAVAILABLE] no database", "internal"),
        (b"a1 NO [LIMIT] too many connections", "internal"),
    ],
)
def test_a_backend_that_decides_is_waited_for(police: Police, answer: bytes, fail_type: str) -> None:
    backend = police.scene.backend(conversation(b"* OK backend\r\n", answer + b"\r\n"))
    proxy = police.scene.proxy(
        "imap", police.service.address, policy=police.settings(), source=ByBackendSettings(),
        proxy=proxy_settings(backend=proxy_pass(backend.address)),
    )  # fmt: skip
    client = police.scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(IMAP.login)
    client.line()
    allow, report = police.service.wait(2)
    assert (allow.command, report.command, report.fields["success"]) == ("allow", "report", not fail_type)
    assert report.fields["fail_type"] == fail_type


def test_a_digest_is_no_password_and_not_told(police: Police) -> None:
    backend = police.scene.backend(IMAP.script())
    proxy = police.scene.proxy(
        "imap", police.scene.auth(rejected(b"no"), accepted(backend.address)), policy=police.settings(),
        dialogue=dialogue_settings("imap", auth=AuthMethod.CRAM_MD5),
    )  # fmt: skip
    client = police.scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(b"a1 AUTHENTICATE CRAM-MD5\r\n")
    client.line()
    client.send(b64encode(b"user 0123456789abcdef0123456789abcdef") + b"\r\n")
    assert police.service.wait(1)[0].fields["pwhash"] == ""
