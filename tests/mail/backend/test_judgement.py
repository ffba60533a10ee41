"""Whole sessions that a backend does not let in, and that go on."""

from __future__ import annotations

import pytest

from mailworker.config.access_log import AccessLogSettings, On
from mailworker.config.log_format import SpecialFormat
from mailworker.config.source import ByBackendSettings
from mailworker.model import AuthMethod
from tests.mail.cases import IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import BEFORE, COMMANDS, TEMPORARY, WRONG, YES, Stage, accepting, answer, refusing
from tests.support.auth import rejected
from tests.support.backend import Script, conversation, echo, hang_up
from tests.support.settings import NOWHERE, access_log, dialogue_settings, proxy_pass, proxy_settings


@pytest.mark.parametrize(
    ("protocol", "reply", "heard"),
    [
        ("imap", b"a1 NO [AUTHENTICATIONFAILED] Unknown user\r\n", WRONG["imap"]),
        ("imap", b"a1 NO Login incorrect\r\n", WRONG["imap"]),
        ("imap", b"a1 NO [UNAVAILABLE] Our database is away\r\n", TEMPORARY["imap"]),
        ("imap", b"a1 NO [LIMIT] Too many of you\r\n", b"a1 NO [LIMIT] Too many of you\r\n"),
        ("imap", b"a1 NO [LIMIT] \x1b[31mred\r\n", WRONG["imap"]),
        ("imap", b"a1 BAD What?\r\n", TEMPORARY["imap"]),
        ("imap", b"* X {15}\r\na1 OK Welcome\r\n\r\na1 NO no\r\n", WRONG["imap"]),
        ("imap", b"* OK [ALERT] {15}\r\na1 NO no\r\n", WRONG["imap"]),
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
    assert stage.backend.heard().endswith(COMMANDS[protocol])
    said = reply.rstrip().rpartition(b"\r\n")[2].removeprefix(b"a1 ").decode().replace("\x1b", r"\x1B")
    assert f'client login failed: "{said}"' in stage.proxy.log.find("login failed")


CODES = [
    ("imap", b"a1 NO [UNAVAILABLE] away\r\n", TEMPORARY["imap"]),
    ("imap", b"a1 NO [SERVERBUG] oops\r\n", TEMPORARY["imap"]),
    ("imap", b"a1 NO [AUTHENTICATIONFAILED] Unknown user\r\n", WRONG["imap"]),
    ("imap", b"* OK [ALERT] x\r\na1 NO no\r\n", WRONG["imap"]),
    ("imap", b"a1 NO [LIMIT] Too many\r\n", b"a1 NO [LIMIT] Too many\r\n"),
    ("imap", b"a1 NO [INUSE] Locked\r\n", b"a1 NO [INUSE] Locked\r\n"),
    ("imap", b"a1 NO [CONTACTADMIN] Call us\r\n", b"a1 NO [CONTACTADMIN] Call us\r\n"),
    ("imap", b"a1 NO [EXPIRED] Change it\r\n", b"a1 NO [EXPIRED] Change it\r\n"),
    ("imap", b"a1 BAD what\r\n", TEMPORARY["imap"]),
    ("imap", b"* BYE later\r\n", TEMPORARY["imap"]),
    ("imap", b"a1 NO [REFERRAL imap://user;AUTH=*@evil.example/] Go there\r\n", TEMPORARY["imap"]),
    ("pop3", b"-ERR [SYS/TEMP] later\r\n", TEMPORARY["pop3"]),
    ("pop3", b"-ERR [SYS/PERM] never\r\n", b"-ERR [SYS/PERM] never\r\n"),
    ("pop3", b"-ERR [IN-USE] Locked\r\n", b"-ERR [IN-USE] Locked\r\n"),
    ("pop3", b"-ERR [LOGIN-DELAY] Wait\r\n", b"-ERR [LOGIN-DELAY] Wait\r\n"),
    ("pop3", b"-ERR [AUTH] no\r\n", WRONG["pop3"]),
    ("pop3", b"-ERR no\r\n", WRONG["pop3"]),
    ("pop3", b"-ERR [REFERRAL/user@evil.example:110] Go there\r\n", TEMPORARY["pop3"]),
    ("smtp", b"454 4.7.0 later\r\n", TEMPORARY["smtp"]),
    ("smtp", b"421 4.3.2 Closing\r\n", TEMPORARY["smtp"]),
    ("smtp", b"535 5.7.8 Unknown user\r\n", WRONG["smtp"]),
    ("smtp", b"525 5.7.13 Disabled\r\n", b"525 5.7.13 Disabled\r\n"),
    ("smtp", b"550 5.2.900 user@evil.example:587\r\n", TEMPORARY["smtp"]),
]


@pytest.mark.parametrize(("protocol", "reply", "heard"), CODES)
def test_with_codes_a_login_that_the_service_took_may_be_tried_again(
    scene: Scene, protocol: str, reply: bytes, heard: bytes
) -> None:
    case = {"imap": IMAP, "pop3": POP3, "smtp": SMTP}[protocol]
    before = BEFORE[protocol] if case is SMTP else case.backend[:-1]
    backend = scene.in_turn(conversation(*before, reply), conversation(*before, YES[protocol], then=echo))
    settings = proxy_settings(pass_error_codes=True, smtp_auth=True)
    proxy = scene.proxy(protocol, scene.auth_for(backend), proxy=settings)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, heard), case.noop, (case.login, answer(case)), (b"x\r\n", b"x\r\n"))
    assert "[error]" in proxy.log.find("upstream sent invalid response")


@pytest.mark.parametrize(
    ("protocol", "reply", "status", "banned"),
    [
        ("imap", b"a1 NO [UNAVAILABLE] away\r\n", 503, False),
        ("imap", b"a1 NO [INUSE] Locked\r\n", 503, False),
        ("imap", b"* BYE later\r\n", 503, False),
        ("imap", b"a1 NO no\r\n", 403, True),
        ("pop3", b"-ERR [SYS/TEMP] later\r\n", 503, False),
        ("pop3", b"-ERR [IN-USE] Locked\r\n", 503, False),
        ("pop3", b"-ERR no\r\n", 403, True),
        ("smtp", b"454 4.7.0 later\r\n", 503, False),
        ("smtp", b"421 4.3.2 Closing\r\n", 503, False),
        ("smtp", b"535 5.7.8 Unknown user\r\n", 403, True),
    ],
)
def test_a_refusal_for_now_is_told_apart_in_access_logs(
    scene: Scene, protocol: str, reply: bytes, status: int, banned: bool
) -> None:
    backend = scene.backend(refusing(protocol, reply))
    logs = access_log(b"$log_event $status", On.FAILURE).logs + access_log(SpecialFormat.DOVECOT, On.FAILURE).logs
    settings = proxy_settings(backend=proxy_pass(backend.address))
    log = AccessLogSettings(logs)
    proxy = scene.proxy(protocol, NOWHERE, source=ByBackendSettings(), proxy=settings, access_log=log)
    client = scene.client(proxy)
    case = {"imap": IMAP, "pop3": POP3, "smtp": SMTP}[protocol]
    client.expect(case.greeting)
    client.send(case.login)
    line, as_dovecot = proxy.lines.expect(2)
    assert line == b"failure %d\n" % status
    assert (b"(auth failed, 1 attempts in 0 secs)" in as_dovecot) == banned


@all_protocols
def test_an_auth_service_may_refuse_for_now(scene: Scene, case: Case) -> None:
    answers = [rejected(b"later", (b"Auth-Error-Code", code), (b"Auth-Wait", b"1")) for code in (b"454 4.7.0", b"535")]
    proxy = scene.proxy(case.protocol, scene.auth(*answers), access_log=access_log(b"$status", On.FAILURE))
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.send(case.login)
    proxy.lines.expect(1)
    client.send(case.login)
    assert proxy.lines.expect(2) == [b"503\n", b"403\n"]


@all_protocols
@pytest.mark.parametrize("script", [hang_up, conversation(b"\0\r\n"), conversation(b"* PREAUTH hello\r\n")])
def test_with_codes_a_backend_that_makes_no_sense_is_a_temporary_failure(
    scene: Scene, case: Case, script: Script
) -> None:
    backend = scene.backend(script)
    settings = proxy_settings(pass_error_codes=True)
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend), proxy=settings))
    client.expect(case.greeting)
    client.talk(*[(case.login, TEMPORARY[case.protocol])] * 2, case.noop)


@all_protocols
def test_with_codes_too_many_failures_end_the_session_all_the_same(scene: Scene, case: Case) -> None:
    backend = scene.backend(
        refusing(case.protocol, {"imap": b"a1 NO x\r\n", "pop3": b"-ERR\r\n"}.get(case.protocol, b"535 x\r\n"))
    )
    settings = proxy_settings(pass_error_codes=True, smtp_auth=True)
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend), proxy=settings))
    client.expect(case.greeting)
    client.talk(*[(case.login, WRONG[case.protocol])] * 5)
    assert client.rest() == b""


def test_with_codes_a_sender_without_a_login_hears_what_it_always_has(scene: Scene) -> None:
    backend = scene.backend(conversation(b"220 x\r\n", b"250 x\r\n", b"550 5.7.1 not you\r\n"))
    dialogue = dialogue_settings("smtp", auth=AuthMethod.NONE)
    settings = proxy_settings(pass_error_codes=True)
    client = scene.client(scene.proxy("smtp", scene.auth_for(backend), proxy=settings, dialogue=dialogue))
    client.expect(SMTP.greeting)
    client.talk((b"EHLO x\r\n", b"250 mail.example.com\r\n"), (b"MAIL FROM:<a>\r\n", b"250 2.0.0 OK\r\n"))
    client.send(b"RCPT TO:<b>\r\n")
    assert client.rest() == SMTP.error


@pytest.mark.parametrize(
    ("case", "reply"),
    [
        (IMAP, b"a1 NO [REFERRAL imap://evil.example/] x\r\n"),
        (IMAP, b"* BYE [referral imap://evil.example/] x\r\n"),
        (POP3, b"-ERR [REFERRAL/user@evil.example]\r\n"),
        (SMTP, b"550-5.2.900 evil.example:25\r\n550 5.2.900 x\r\n"),
    ],
    ids=repr,
)
def test_a_referral_is_quoted_to_nobody(scene: Scene, case: Case, reply: bytes) -> None:
    backend = scene.backend(refusing(case.protocol, reply))
    settings = proxy_settings(pass_error_message=True, smtp_auth=True)
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend), proxy=settings))
    client.expect(case.greeting)
    client.send(case.login)
    assert client.rest() == case.error


@pytest.mark.parametrize(
    ("case", "script"),
    [
        (IMAP, conversation(b"* PREAUTH hi\r\n")),
        (IMAP, conversation(b"* OK x\r\n", b"a1 OK in\r\n")),
        (IMAP, refusing("imap", b"b OK in\r\n")),
        (IMAP, conversation(b"* OK x\r\n", *[b"+ \r\n"] * 3)),
        (POP3, refusing("pop3", b"+ \r\n")),
        (SMTP, conversation(b"220 x\r\n", b"235 in\r\n")),
        (SMTP, refusing("smtp", b"250 in\r\n")),
        (SMTP, refusing("smtp", b"334 \r\n")),
        (SMTP, refusing("smtp", b"ERROR\r\n")),
    ],
)
def test_what_is_no_refusal_is_quoted_to_nobody(scene: Scene, case: Case, script: Script) -> None:
    settings = proxy_settings(pass_error_message=True, smtp_auth=True)
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(scene.backend(script)), proxy=settings))
    client.expect(case.greeting)
    client.send(case.login)
    assert client.rest() == case.error


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
