"""Whole sessions whose auth service names the mechanism, the master user, or no login at the backend; and tokens."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from mailworker.model import AuthMethod
from tests.mail.cases import AUTH_PLAIN, IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import AUTH, BEFORE, GO_AHEAD, LOGGED_IN, OFFERS, WRONG, YES, Stage, answer
from tests.support.auth import accepted
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import dialogue_settings, proxy_settings

Header = tuple[bytes, bytes]
TOKENS = {
    b"xoauth2": b"user=%b\x01auth=Bearer %b\x01\x01",
    b"oauthbearer": b"n,a=%b,\x01auth=Bearer %b\x01\x01",
}
BYTES = bytes(range(1, 256))


def backend_of(
    scene: Scene, case: Case, go_aheads: int, hello: bytes = OFFERS, verdicts: dict[str, bytes] = YES
) -> ScriptedServer:
    before = (b"220 backend\r\n", hello) if case is SMTP else (BEFORE[case.protocol][0],)
    steps = (GO_AHEAD[case.protocol],) * go_aheads
    return scene.backend(conversation(*before, *steps, verdicts[case.protocol], then=echo))


def play(
    scene: Scene,
    case: Case,
    backend: ScriptedServer,
    *headers: Header,
    said: bytes | None = None,
    auth: AuthMethod = AuthMethod.PLAIN,
    **changes: bool,
) -> tuple[Peer, Proxy]:
    """A client that has sent its login to a proxy whose auth service answers with these headers."""
    service = scene.auth(accepted(backend.address, *headers))
    dialogue = dialogue_settings(case.protocol, auth=auth, client_buffer=32768)
    settings = proxy_settings(xclient=False, **changes)
    proxy = scene.proxy(case.protocol, service, dialogue=dialogue, proxy=settings)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login if said is None else said)
    return client, proxy


def said_of(backend: ScriptedServer, case: Case) -> list[bytes]:
    """The lines of AUTH or AUTHENTICATE."""
    heard = backend.peer().received
    return heard[heard.index(AUTH[case.protocol]) :].split(b"\r\n")[:-1]


@all_protocols
def test_plain_is_used_where_the_service_says_so(scene: Scene, case: Case) -> None:
    backend = backend_of(scene, case, 0 if case is SMTP else 1)
    client, _ = play(scene, case, backend, (b"Auth-Backend-Mech", b"PLAIN"))
    client.expect(answer(case))
    response = b64encode(b"\0user@example.com\0secret")
    separate = [AUTH[case.protocol] + b"PLAIN", response]
    assert said_of(backend, case) == ([AUTH_PLAIN.rstrip()] if case is SMTP else separate)


@all_protocols
def test_login_carries_any_bytes(scene: Scene, case: Case) -> None:
    backend = backend_of(scene, case, 2)
    name, password = 'Jörg "x"\\'.encode(), BYTES.replace(b"\r", b"").replace(b"\n", b"")
    headers = (b"Auth-Backend-Mech", b"login"), (b"Auth-User", name), (b"Auth-Pass", b"s" + password)
    client, _ = play(scene, case, backend, *headers)
    client.expect(answer(case))
    lines = said_of(backend, case)
    assert lines[0] == AUTH[case.protocol] + b"LOGIN"
    assert [b64decode(line) for line in lines[1:]] == [name, b"s" + password.strip(b" ")]


@all_protocols
def test_a_client_s_own_bytes_go_by_login_too(scene: Scene, case: Case) -> None:
    backend = backend_of(scene, case, 2)
    name, password = b"\r\nQUIT\r\n", b"\r\na1 LOGOUT\r\n\xff"
    said = AUTH[case.protocol] + b"PLAIN " + b64encode(b"\0%b\0%b" % (name, password)) + b"\r\n"
    client, _ = play(scene, case, backend, (b"Auth-Backend-Mech", b"login"), said=said)
    client.expect(answer(case))
    assert [b64decode(line) for line in said_of(backend, case)[1:]] == [name, password]


@all_protocols
@pytest.mark.parametrize(("mechanism", "go_aheads"), [(b"plain", 1), (b"login", 2), *((each, 1) for each in TOKENS)])
def test_a_refusal_after_any_mechanism_is_no_login(scene: Scene, case: Case, mechanism: bytes, go_aheads: int) -> None:
    at_once = case is SMTP and mechanism == b"plain"
    backend = backend_of(scene, case, 0 if at_once else go_aheads, verdicts=WRONG)
    client, proxy = play(scene, case, backend, (b"Auth-Backend-Mech", mechanism))
    assert client.rest() == case.error
    told = WRONG[case.protocol].decode().removeprefix("a1 ").rstrip()
    assert f'"{told}" while reading response' in proxy.log.find("upstream sent invalid response")
    assert not [line for line in proxy.log.lines if "logged in" in line]


@all_protocols
def test_a_master_user_acts_for_the_login(scene: Scene, case: Case) -> None:
    backend = backend_of(scene, case, 0 if case is SMTP else 1)
    headers = (b"Auth-Master-User", b"boss"), (b"Auth-Pass", b"of all"), (b"Auth-User", b"mailbox")
    client, proxy = play(scene, case, backend, *headers)
    client.expect(answer(case))
    heard = said_of(backend, case)[-1].rpartition(b" ")[2]
    assert b64decode(heard) == b"mailbox\0boss\0of all"
    assert 'login: "mailbox"' in proxy.log.find("client logged in")


@all_protocols
@pytest.mark.parametrize("mechanism", list(TOKENS))
@pytest.mark.parametrize("method", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_the_client_s_token_is_passed_on_where_the_service_asks_for_it(
    scene: Scene, case: Case, mechanism: bytes, method: AuthMethod
) -> None:
    """By the mechanism that is named, whichever the client has used; 8 KB of it."""
    token = b"t" * 8192
    response = TOKENS[method.name.lower().encode()] % (b"u", token)  # type: ignore[union-attr]
    said = AUTH[case.protocol] + str(method.name).encode() + b" " + b64encode(response) + b"\r\n"
    backend = backend_of(scene, case, 1)
    client, _ = play(scene, case, backend, (b"Auth-Backend-Mech", mechanism), said=said, auth=method)
    client.expect(answer(case))
    expected = [AUTH[case.protocol] + mechanism.upper(), b64encode(TOKENS[mechanism] % (b"u", token))]
    assert said_of(backend, case) == expected


@all_protocols
@pytest.mark.parametrize("mechanism", list(TOKENS))
def test_a_token_of_the_service_is_used_for_a_password(scene: Scene, case: Case, mechanism: bytes) -> None:
    backend = backend_of(scene, case, 1)
    client, _ = play(scene, case, backend, (b"Auth-Backend-Mech", mechanism), (b"Auth-Pass", b"tok"))
    client.expect(answer(case))
    assert b64decode(said_of(backend, case)[1]) == TOKENS[mechanism] % (b"user@example.com", b"tok")


@all_protocols
def test_a_client_s_token_goes_nowhere_unasked(scene: Scene, case: Case) -> None:
    said = AUTH[case.protocol] + b"XOAUTH2 " + b64encode(TOKENS[b"xoauth2"] % (b"u", b"tok")) + b"\r\n"
    backend = backend_of(scene, case, 1)
    client, _ = play(scene, case, backend, said=said, auth=AuthMethod.XOAUTH2, smtp_auth=True)
    assert client.rest() == case.error
    assert not backend.peers or b"tok" not in b64decode(backend.heard().rpartition(b" ")[2] + b"==")


@pytest.mark.parametrize("case", [IMAP, POP3], ids=lambda case: case.protocol)
def test_no_login_is_a_word_for_smtp_alone(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    client, _ = play(scene, case, backend, (b"Auth-Method", b"none"), (b"Auth-Backend-Mech", b"login"))
    client.expect(case.answer)
    assert backend.peer().received == case.commands


@pytest.mark.parametrize("header", [(b"Auth-Method", b"none"), (b"Auth-Method", b"NONE")])
def test_an_smtp_backend_is_not_logged_in_at_where_the_service_says_so(scene: Scene, header: Header) -> None:
    backend = scene.backend(conversation(b"220 backend\r\n", OFFERS, b"250 fine\r\n", then=echo))
    client, _ = play(scene, SMTP, backend, header, smtp_auth=True)
    client.expect(LOGGED_IN)
    client.talk((b"NOOP\r\n", b"250 fine\r\n"))
    assert b"AUTH" not in backend.peer().received


@pytest.mark.parametrize("method", [b"plain", b"external", b"xoauth2", b"what", b""])
@all_protocols
def test_a_method_that_the_service_repeats_changes_nothing(scene: Scene, case: Case, method: bytes) -> None:
    script = conversation(b"220 backend\r\n", OFFERS, b"250 fine\r\n", then=echo) if case is SMTP else case.script()
    backend = scene.backend(script)
    client, _ = play(scene, case, backend, (b"Auth-Method", method))
    client.expect(answer(case))
    assert b"AUTH" not in backend.peer().received


def test_the_service_turns_auth_on_and_the_backend_is_asked_what_it_offers(scene: Scene) -> None:
    """Even for a client that has said no EHLO."""
    backend = backend_of(scene, SMTP, 0)
    client, _ = play(scene, SMTP, backend, (b"Auth-Backend-Mech", b"plain"))
    client.expect(LOGGED_IN)
    assert backend.peer().received == b"EHLO mail.example.com\r\n" + AUTH_PLAIN


@pytest.mark.parametrize("hello", [b"250 backend\r\n", b"250-x\r\n250 AUTH PLAIN NTLM\r\n"])
def test_a_mechanism_that_the_service_names_has_to_be_offered(scene: Scene, hello: bytes) -> None:
    backend = backend_of(scene, SMTP, 1, hello)
    client, proxy = play(scene, SMTP, backend, (b"Auth-Backend-Mech", b"xoauth2"))
    assert client.rest() == SMTP.error
    assert "while sending AUTH to upstream" in proxy.log.find("upstream does not offer AUTH XOAUTH2")


@all_protocols
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([(b"Auth-Backend-Mech", b"gssapi")], 'sent invalid backend mechanism:"gssapi"'),
        ([(b"Auth-Backend-Mech", b"cram-md5")], 'sent invalid backend mechanism:"cram-md5"'),
        (
            [(b"Auth-Backend-Mech", b"login"), (b"Auth-Master-User", b"m")],
            'sent master user for backend mechanism:"login"',
        ),
    ],
)
def test_what_no_backend_can_be_asked_is_the_service_s_fault(
    scene: Scene, case: Case, headers: list[Header], said: str
) -> None:
    backend = scene.backend(case.script())
    client, proxy = play(scene, case, backend, *headers)
    assert client.rest() == case.error
    assert "[error] *1 auth http server " in proxy.log.find(said)
    assert not backend.peers


ALL = AuthMethod.PLAIN | AuthMethod.LOGIN
INVALID = {
    "imap": b"a1 BAD invalid command\r\n",
    "pop3": b"-ERR invalid command\r\n",
    "smtp": b"500 5.5.1 Invalid command\r\n",
}


@all_protocols
@pytest.mark.parametrize(("name", "password"), [(b"u\0root", b"p"), (b"u", b"p\0root")])
def test_no_nul_makes_a_field_of_plain(scene: Scene, case: Case, name: bytes, password: bytes) -> None:
    """LOGIN brings it from the client; the service asks for PLAIN."""
    backend = backend_of(scene, case, 1)
    client, _ = play(
        scene, case, backend, (b"Auth-Backend-Mech", b"plain"), said=AUTH[case.protocol] + b"LOGIN\r\n", auth=ALL
    )
    client.line()
    client.send(b64encode(name) + b"\r\n")
    client.line()
    client.send(b64encode(password) + b"\r\n")
    assert client.rest() == INVALID[case.protocol]
    assert b64encode(b"\0u") not in backend.overheard()


@all_protocols
@pytest.mark.parametrize("method", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_a_token_is_passed_on_by_its_own_mechanism(scene: Scene, case: Case, method: AuthMethod) -> None:
    protocol, mechanism = case.protocol, str(method.name).encode()
    text = TOKENS[mechanism.lower()] % (b"u", b"t")
    said = AUTH[protocol] + mechanism + b" " + b64encode(text) + b"\r\n"
    before = (b"220 backend\r\n", OFFERS) if case is SMTP else (BEFORE[protocol][0],)
    stage = Stage(scene, protocol, conversation(*before, GO_AHEAD[protocol], YES[protocol], then=echo), auth=method)
    stage.client.talk((said, answer(case)), (b"one\r\n", b"one\r\n"))
    asked = AUTH[protocol] + mechanism + b"\r\n" + b64encode(text) + b"\r\n"
    assert stage.backend.peer().received.endswith(asked + b"one\r\n")


@all_protocols
@pytest.mark.parametrize("method", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_the_reason_for_refusing_a_token_reaches_the_client(scene: Scene, case: Case, method: AuthMethod) -> None:
    protocol, mechanism, reason = case.protocol, str(method.name).encode(), b64encode(b'{"status":"invalid_token"}')
    before = (b"220 backend\r\n", OFFERS) if case is SMTP else (BEFORE[protocol][0],)
    no = {"imap": b"a1 NO [AUTHENTICATIONFAILED] no\r\n", "pop3": b"-ERR [AUTH] no\r\n", "smtp": b"535 no\r\n"}[
        protocol
    ]
    prompt = GO_AHEAD[protocol].rstrip() + b" " + reason + b"\r\n"
    stage = Stage(scene, protocol, conversation(*before, GO_AHEAD[protocol], prompt, no), auth=method)
    text = TOKENS[mechanism.lower()] % (b"u", b"t")
    stage.client.talk(
        (AUTH[protocol] + mechanism + b" " + b64encode(text) + b"\r\n", prompt),
        (b"AQ==\r\n", WRONG[protocol]),
        case.noop,
    )
    acknowledged = {AuthMethod.XOAUTH2: b"\r\n", AuthMethod.OAUTHBEARER: b"AQ==\r\n"}[method]
    assert stage.backend.heard().endswith(b"\r\n" + acknowledged)
