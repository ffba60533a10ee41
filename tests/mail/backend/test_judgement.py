"""Whole sessions that a backend does not let in, and that go on."""

from __future__ import annotations

import pytest

from mailworker.config.source import ByBackendSettings
from tests.mail.cases import AUTH_PLAIN, IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import TEMPORARY, WRONG, Stage, accepting, answer, refusing
from tests.support.backend import Script, conversation, hang_up
from tests.support.settings import NOWHERE, proxy_pass, proxy_settings


@pytest.mark.parametrize(
    ("protocol", "reply", "heard"),
    [
        ("imap", b"a1 NO [AUTHENTICATIONFAILED] Unknown user\r\n", WRONG["imap"]),
        ("imap", b"a1 NO Login incorrect\r\n", WRONG["imap"]),
        ("imap", b"a1 NO [UNAVAILABLE] Our database is away\r\n", TEMPORARY["imap"]),
        ("imap", b"a1 NO [LIMIT] Too many of you\r\n", b"a1 NO [LIMIT] Too many of you\r\n"),
        ("imap", b"a1 NO [LIMIT] \x1b[31mred\r\n", WRONG["imap"]),
        ("imap", b"a1 BAD What?\r\n", TEMPORARY["imap"]),
        ("imap", b"* BYE Shutting down\r\n", TEMPORARY["imap"]),
        ("pop3", b"-ERR [AUTH] Unknown user\r\n", WRONG["pop3"]),
        ("pop3", b"-ERR go away\r\n", WRONG["pop3"]),
        ("pop3", b"-ERR [SYS/TEMP] Later\r\n", TEMPORARY["pop3"]),
        ("pop3", b"-ERR [IN-USE] Locked\r\n", b"-ERR [IN-USE] Locked\r\n"),
        ("smtp", b"535 5.7.8 Error: authentication failed: unknown user\r\n", WRONG["smtp"]),
        ("smtp", b"454 4.7.0 Later\r\n", TEMPORARY["smtp"]),
        ("smtp", b"534 5.7.9 Stronger, please\r\n", b"534 5.7.9 Stronger, please\r\n"),
    ],
)
def test_a_refusal_is_an_ordinary_one_and_the_session_goes_on(
    scene: Scene, protocol: str, reply: bytes, heard: bytes
) -> None:
    case = {"imap": IMAP, "pop3": POP3, "smtp": SMTP}[protocol]
    stage = Stage(scene, protocol, refusing(protocol, reply), accepting(protocol))
    stage.client.talk((case.login, heard), case.noop, (case.login, answer(case)))
    assert stage.backend.heard().endswith(AUTH_PLAIN if case is SMTP else case.commands[-8:])
    said = reply.rstrip().removeprefix(b"a1 ").decode().replace("\x1b", r"\x1B")
    assert f'client login failed: "{said}"' in stage.proxy.log.find("login failed")


@all_protocols
def test_an_unknown_name_and_a_wrong_password_are_told_by_the_same_words(scene: Scene, case: Case) -> None:
    replies = {
        "imap": (b"a1 NO [AUTHENTICATIONFAILED] Unknown user\r\n", b"a1 NO Wrong password\r\n"),
        "pop3": (b"-ERR [AUTH] Unknown user\r\n", b"-ERR Wrong password\r\n"),
        "smtp": (b"535 5.7.8 Unknown user\r\n", b"535-5.7.8 Wrong\r\n535 5.7.8 password\r\n"),
    }
    stage = Stage(scene, case.protocol, *(refusing(case.protocol, reply) for reply in replies[case.protocol]))
    stage.client.talk(*[(case.login, WRONG[case.protocol])] * 2)


@all_protocols
@pytest.mark.parametrize(
    "script",
    [
        hang_up,
        conversation(b"* BYE too many\r\n"),
        conversation(b"-ERR too many\r\n"),
        conversation(b"554 go away\r\n"),
        conversation(b"\0\r\n"),
    ],
    ids=["silence", "BYE", "-ERR", "554", "NUL"],
)
def test_a_backend_that_judges_nobody_is_a_temporary_failure(scene: Scene, case: Case, script: Script) -> None:
    stage = Stage(scene, case.protocol, script, accepting(case.protocol))
    stage.client.talk((case.login, TEMPORARY[case.protocol]), (case.login, answer(case)))
    assert f"upstream: {stage.backend.address}" in stage.proxy.log.find("[error]")


@all_protocols
def test_nobody_at_the_backend_is_a_temporary_failure(scene: Scene, case: Case) -> None:
    settings = proxy_settings(backend=proxy_pass(NOWHERE))
    client = scene.client(scene.proxy(case.protocol, NOWHERE, source=ByBackendSettings(), proxy=settings))
    client.expect(case.greeting)
    client.talk(*[(case.login, TEMPORARY[case.protocol])] * 2, case.noop)


@all_protocols
def test_failures_are_counted_as_errors(scene: Scene, case: Case) -> None:
    no = {"imap": b"a1 NO\r\n", "pop3": b"-ERR\r\n", "smtp": b"535 no\r\n"}[case.protocol]
    stage = Stage(scene, case.protocol, *[refusing(case.protocol, no)] * 5)
    stage.client.talk(*[(case.login, WRONG[case.protocol])] * 5)
    assert stage.client.rest() == b""
    stage.proxy.log.find("client failed to log in too many times")
