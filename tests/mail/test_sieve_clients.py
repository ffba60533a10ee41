"""What ManageSieve clients in use depend on, each a test named after it; some of them are in tests/real, too.

They are Net_Sieve (Roundcube, Horde), sieve-connect, thsmi's Sieve, KMail's libksieve and sievelib (Modoboa).
"""

from __future__ import annotations

import re
from base64 import b64encode

import pytest

from mailworker.model import AuthMethod, Starttls
from tests.mail.cases import CREDENTIALS, SIEVE
from tests.mail.conftest import Scene
from tests.support.auth import rejected
from tests.support.backend import Script, conversation, echo
from tests.support.peer import Peer
from tests.support.settings import dialogue_settings, proxy_settings
from tests.tls.peers import client_context

BACKEND = SIEVE.backend[0]
LOGIN = SIEVE.login
CAPABILITIES = (b"IMPLEMENTATION mailworker", b"SIEVE fileinto enotify", b"NOTIFY mailto", b"VERSION 1.0")
# As these clients read a line: of capabilities, and the last of an answer.
CAPABILITY = re.compile(rb'"([A-Z]+)"(?: "((?:[^"\\]|\\.)+)")?\r\n')
ANSWER = re.compile(rb'(OK|NO|BYE)( \([^"()]*(?:"[^"]*")?\))? "(?:[^"\\]|\\.)+"\r\n')


def connected(scene: Scene, script: Script | None = None, *, starttls: Starttls = Starttls.ON) -> Peer:
    """A client that has read its greeting."""
    auth = scene.auth_for(scene.backend(script or SIEVE.script()))
    dialogue = dialogue_settings("sieve", capabilities=CAPABILITIES, auth=AuthMethod(255))
    client = scene.client(scene.tls_proxy("sieve", auth, dialogue=dialogue, starttls=starttls))
    read_list(client)
    return client


def read_list(client: Peer) -> dict[bytes, bytes | None]:
    """A list of capabilities, as the strictest client takes it."""
    listed: dict[bytes, bytes | None] = {}
    while not ANSWER.fullmatch(line := client.line()):
        match = CAPABILITY.fullmatch(line)
        assert match is not None, line
        assert match[1] not in listed
        listed[match[1]] = match[2]
    assert line.startswith(b"OK ")
    return listed


def encrypted(scene: Scene) -> Peer:
    """A client that has read the list that comes unasked in TLS."""
    client = connected(scene)
    client.talk((b"STARTTLS\r\n", b'OK "Begin TLS negotiation now."\r\n'))
    client.start_tls(client_context())
    read_list(client)
    return client


def refusals(scene: Scene) -> list[bytes]:
    """Every kind of answer that is not about a list."""
    client = connected(scene, conversation(BACKEND, b"NO\r\n"), starttls=Starttls.OFF)
    said = [
        b"NOOP",
        b'NOOP "x"',
        b"FOO",
        b'PUTSCRIPT "x" {1+}\r\nx',
        b"STARTTLS",
        b'AUTHENTICATE "FOO"',
        LOGIN[:-2],
        b"LOGOUT",
    ]
    answers = []
    for command in said:
        client.send(command + b"\r\n")
        answers.append(client.line())
    assert client.rest() == b""
    return answers


def test_net_sieve_reads_capabilities_in_quotation_marks_and_capitals_alone(scene: Scene) -> None:
    listed = read_list_again(connected(scene))
    assert list(listed)[:3] == [b"IMPLEMENTATION", b"SIEVE", b"NOTIFY"]
    assert list(listed)[3:] == [b"SASL", b"STARTTLS", b"VERSION"]


def read_list_again(client: Peer) -> dict[bytes, bytes | None]:
    client.send(b"CAPABILITY\r\n")
    return read_list(client)


def test_net_sieve_takes_an_empty_line_for_an_error_and_hears_none(scene: Scene) -> None:
    assert all(ANSWER.fullmatch(answer) for answer in refusals(scene))


def test_net_sieve_waits_for_a_list_that_comes_unasked_after_starttls(scene: Scene) -> None:
    client = encrypted(scene)
    assert client.is_silent()
    assert b"STARTTLS" not in read_list_again(client)


@pytest.mark.parametrize("mechanism", [b"LOGIN", b"CRAM-MD5"])
def test_net_sieve_waits_for_each_challenge(scene: Scene, mechanism: bytes) -> None:
    client = connected(scene)
    client.send(b'AUTHENTICATE "%b"\r\n' % mechanism)
    assert re.fullmatch(rb'"[A-Za-z0-9+/=]+"\r\n', client.line())


def test_net_sieve_sends_long_responses_as_literals(scene: Scene) -> None:
    client = connected(scene)
    response = b64encode(b"\0user@example.com\0" + b"x" * 900)
    client.send(b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(response), response))
    client.expect(SIEVE.answer)


def test_net_sieve_asks_for_capabilities_after_every_login_and_hears_the_backends(scene: Scene) -> None:
    client = connected(scene, SIEVE.script(conversation(b"", BACKEND)))
    client.talk((LOGIN, SIEVE.answer), (b"CAPABILITY\r\n", BACKEND))


@pytest.mark.parametrize("word", [b"BYE", b"NO"])
def test_net_sieve_and_thsmi_follow_referrals_with_the_password_and_hear_of_none(scene: Scene, word: bytes) -> None:
    client = connected(scene, conversation(BACKEND, word + b' (REFERRAL "sieve://evil.example") "Go there"\r\n'))
    client.send(LOGIN)
    assert client.line() == b'NO (TRYLATER) "Account is temporarily unavailable."\r\n'


def test_no_referral_comes_where_errors_of_backends_are_passed_on(scene: Scene) -> None:
    script = conversation(BACKEND, b'BYE (REFERRAL "sieve://evil.example") "Go there"\r\n')
    settings = proxy_settings(pass_error_message=True)
    client = scene.client(scene.proxy("sieve", scene.auth_for(scene.backend(script)), proxy=settings))
    client.expect(SIEVE.greeting)
    client.talk((LOGIN, b'NO (TRYLATER) "Account is temporarily unavailable."\r\n'))


def test_sieve_connect_reads_until_its_tag_comes_back_after_starttls(scene: Scene) -> None:
    client = encrypted(scene)
    client.talk((b'NOOP "STARTTLS-RESYNC-CAPA"\r\n', b'OK (TAG "STARTTLS-RESYNC-CAPA") "Done."\r\n'))


def test_sieve_connect_sends_its_first_response_as_a_literal_whatever_its_length(scene: Scene) -> None:
    client = encrypted(scene)
    client.talk((b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(CREDENTIALS), CREDENTIALS), SIEVE.answer))


def test_sieve_connect_cancels_by_an_asterisk(scene: Scene) -> None:
    client = connected(scene)
    client.talk((b'AUTHENTICATE "PLAIN"\r\n', b'""\r\n'), (b'"*"\r\n', b'NO "Invalid command."\r\n'), SIEVE.noop)


@pytest.mark.parametrize("starttls", Starttls)
def test_sieve_connect_demands_sieve_and_a_mechanism_or_starttls(scene: Scene, starttls: Starttls) -> None:
    auth = scene.auth_for(scene.backend(SIEVE.script()))
    client = scene.client(scene.tls_proxy("sieve", auth, starttls=starttls))
    said = client.until(b'OK "ManageSieve ready."\r\n')
    assert b'"SIEVE" ' in said
    assert (b'"SASL" ""\r\n' in said) <= (b'"STARTTLS"\r\n' in said)


def test_sieve_connect_warns_of_enotify_without_notify_which_no_configuration_lists(scene: Scene) -> None:
    listed = read_list_again(connected(scene))
    assert b"enotify" in (listed[b"SIEVE"] or b"") and listed[b"NOTIFY"] == b"mailto"


def test_thsmi_asks_for_capabilities_at_once_in_tls_and_takes_two_lists(scene: Scene) -> None:
    client = connected(scene)
    client.talk((b"STARTTLS\r\n", b'OK "Begin TLS negotiation now."\r\n'))
    client.start_tls(client_context())
    client.send(b"CAPABILITY\r\n")
    assert read_list(client) == read_list(client)


def test_thsmi_keeps_a_session_alive_by_noop(scene: Scene) -> None:
    client = connected(scene, SIEVE.script(echo))
    client.talk(SIEVE.noop, (LOGIN, SIEVE.answer), (b"NOOP\r\n", b"NOOP\r\n"))


@pytest.mark.parametrize("length", [1024, 1025, 8000])
def test_kmail_quotes_responses_whatever_their_length(scene: Scene, length: int) -> None:
    response = b64encode(b"\0user@example.com\0" + b"x" * length)
    backend = scene.backend(SIEVE.script())
    dialogue = dialogue_settings("sieve", client_buffer=20480)
    client = scene.client(scene.proxy("sieve", scene.auth_for(backend), dialogue=dialogue))
    client.expect(SIEVE.greeting)
    client.talk((b'AUTHENTICATE "PLAIN" "%b"\r\n' % response, SIEVE.answer))
    assert backend.peer().received == b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(response), response)


def test_kmail_takes_a_line_before_the_ok_of_a_login_for_a_challenge_and_hears_none(scene: Scene) -> None:
    client = connected(scene)
    client.talk((LOGIN, SIEVE.answer))
    assert client.is_silent()


def test_kmail_hangs_up_after_a_failed_login_and_may_come_again(scene: Scene) -> None:
    auth = scene.auth(rejected(b"Wrong"), rejected(b"Wrong"))
    proxy = scene.proxy("sieve", auth)
    for _ in range(2):
        client = scene.client(proxy)
        client.expect(SIEVE.greeting)
        client.talk((LOGIN, b'NO "Wrong"\r\n'))
        client.close()


def test_sievelib_reads_capitals_alone_and_needs_a_text_with_every_answer(scene: Scene) -> None:
    answers = refusals(scene)
    assert {answer.split()[0] for answer in answers} == {b"OK", b"NO"}
    assert all(re.search(rb'" *\r\n\Z', answer) for answer in answers)


def test_sievelib_sends_all_lines_of_login_without_a_wait(scene: Scene) -> None:
    client = connected(scene)
    client.send(b'AUTHENTICATE "LOGIN"\r\n"%b"\r\n"%b"\r\n' % (b64encode(b"user@example.com"), b64encode(b"secret")))
    client.expect(b'"VXNlcm5hbWU6"\r\n"UGFzc3dvcmQ6"\r\n' + SIEVE.answer)


def test_sievelib_knows_no_more_of_bye_than_that_it_is_an_error_so_a_wrong_password_is_no(scene: Scene) -> None:
    client = connected(scene, conversation(BACKEND, b'BYE "wrong"\r\n'))
    client.send(LOGIN)
    assert client.line().startswith(b"NO (TRYLATER) ")
