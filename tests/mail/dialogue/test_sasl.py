from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace

import pytest

from mailworker.model import AuthMethod
from mailworker.wire.auth_response import Rejected
from mailworker.wire.login import Login
from tests.mail.dialogue.dialogues import (
    ALL_METHODS,
    OAUTH,
    OVER,
    SALT64,
    Case,
    check,
    converse,
    cram_md5,
    external,
    login,
    oauth,
    plain,
    server_of,
)
from tests.support.memory_stream import MemoryStream
from tests.support.settings import auth_http_settings

USERNAME, PASSWORD = b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"
DIGEST = b"0123456789abcdef0123456789abcdef"
PLAIN = b64encode(b"\0user\0pass")
USER, PASS = b64encode(b"user"), b64encode(b"pass")
HASH = b64encode(b"user " + DIGEST)
XOAUTH2 = b64encode(b"user=user\x01auth=Bearer token\x01\x01")
OAUTHBEARER = b64encode(b"n,a=user,\x01host=h\x01auth=Bearer token\x01\x01")
NAMELESS = b64encode(b"n,,\x01auth=Bearer token\x01\x01")
BY_XOAUTH2, BY_OAUTHBEARER = oauth(AuthMethod.XOAUTH2, b"user"), oauth(AuthMethod.OAUTHBEARER, b"user")
TOKEN_REFUSED = Rejected(b"refused", wait=1, sasl=b"e30=")
BAD_HASH = "client sent invalid CRAM-MD5 hash in AUTH CRAM-MD5 command"
TOO_MANY = "client sent too many invalid commands"

COMMAND = {"imap": b"a AUTHENTICATE", "pop3": b"AUTH", "smtp": b"AUTH"}
CHALLENGE = {"imap": b"+ ", "pop3": b"+ ", "smtp": b"334 "}
NO = {"imap": b"a NO refused\r\n", "pop3": b"-ERR refused\r\n", "smtp": b"535 5.7.0 refused\r\n"}
BAD = {
    "imap": b"a BAD invalid command\r\n",
    "pop3": b"-ERR invalid command\r\n",
    "smtp": b"500 5.5.1 Invalid command\r\n",
}

# Said behind the command's name, challenges, the login that comes of it or what the log says, None for nothing.
Exchange = tuple[bytes, tuple[bytes, ...], "Login | str | None"]

EXCHANGES: list[Exchange] = [
    (b" PLAIN " + PLAIN, (), plain(b"user", b"pass")),
    (b" plain\r\n" + PLAIN, (b"",), plain(b"user", b"pass")),
    (b" PLAIN\r\n" + PLAIN + b" more words", (b"",), plain(b"user", b"pass")),
    (b" PLAIN " + b64encode(b"user\0user\0pass"), (), plain(b"user", b"pass")),
    (b" PLAIN " + b64encode(b"\0user\0"), (), plain(b"user", b"")),
    (b" PLAIN " + b64encode(b"\0user\xff%\0pass"), (), plain(b"user\xff%", b"pass")),
    (b" PLAIN " + PLAIN.rstrip(b"="), (), plain(b"user", b"pass")),
    (b" PLAIN " + b64encode(b"\0\0pass"), (), "client sent invalid login in AUTH PLAIN command"),
    (b" PLAIN " + b64encode(b"user"), (), "client sent invalid login in AUTH PLAIN command"),
    (b" PLAIN =", (), "client sent invalid login in AUTH PLAIN command"),
    (b" PLAIN\r\n", (b"",), "client sent invalid login in AUTH PLAIN command"),
    (b" PLAIN " + b64encode(b"\0user"), (), "client sent invalid password in AUTH PLAIN command"),
    (b" PLAIN " + b64encode(b"\0user\0pass\0word"), (), "client sent invalid password in AUTH PLAIN command"),
    (b" PLAIN !!!!", (), "client sent invalid base64 encoding in AUTH PLAIN command"),
    (b" PLAIN\r\n*", (b"",), "client sent invalid base64 encoding in AUTH PLAIN command"),
    (b" PLAIN\r\nABCDE", (b"",), "client sent invalid base64 encoding in AUTH PLAIN command"),
    (b" PLAIN a b", (), None),
    (b" LOGIN\r\n" + USER + b"\r\n" + PASS, (USERNAME, PASSWORD), login(b"user", b"pass")),
    (b" Login " + USER + b"\r\n" + PASS, (PASSWORD,), login(b"user", b"pass")),
    (b" LOGIN =\r\n=", (PASSWORD,), login(b"", b"")),
    (b" LOGIN !!!!", (), "client sent invalid base64 encoding in AUTH LOGIN command"),
    (b" LOGIN\r\n*", (USERNAME,), "client sent invalid base64 encoding in AUTH LOGIN command"),
    (
        b" LOGIN " + USER + b"\r\n*",
        (PASSWORD,),
        'client sent invalid base64 encoding in AUTH LOGIN command, login: "user"',
    ),
    (b" LOGIN a b", (), None),
    (b" CRAM-MD5\r\n" + HASH, (SALT64,), cram_md5(b"user", DIGEST)),
    (b" cram-md5\r\n" + b64encode(b" " + DIGEST), (SALT64,), cram_md5(b"", DIGEST)),
    (b" CRAM-MD5\r\n" + USER, (SALT64,), BAD_HASH),
    (b" CRAM-MD5\r\n" + b64encode(b"us er " + DIGEST), (SALT64,), f'{BAD_HASH}, login: "us"'),
    (b" CRAM-MD5\r\n*", (SALT64,), "client sent invalid base64 encoding in AUTH CRAM-MD5 command"),
    (b" CRAM-MD5 " + HASH, (), None),
    (b" EXTERNAL\r\n" + USER, (USERNAME,), external(b"user")),
    (b" EXTERNAL " + USER, (), external(b"user")),
    (b" EXTERNAL =", (), external(b"")),
    (b" EXTERNAL !!!!", (), "client sent invalid base64 encoding in AUTH EXTERNAL command"),
    (b" EXTERNAL\r\n*", (USERNAME,), "client sent invalid base64 encoding in AUTH EXTERNAL command"),
    (b" EXTERNAL a b", (), None),
    (b" GSSAPI", (), None),
]

OAUTH_EXCHANGES: list[Exchange] = [
    (b" XOAUTH2 " + XOAUTH2, (), BY_XOAUTH2),
    (b" xoauth2\r\n" + XOAUTH2, (b"",), BY_XOAUTH2),
    (b" XOAUTH2 " + OAUTHBEARER, (), "client sent invalid login in AUTH XOAUTH2 command"),
    (b" XOAUTH2 !!!!", (), "client sent invalid base64 encoding in AUTH XOAUTH2 command"),
    (b" XOAUTH2\r\n*", (b"",), "client sent invalid base64 encoding in AUTH XOAUTH2 command"),
    (b" OAUTHBEARER " + OAUTHBEARER, (), BY_OAUTHBEARER),
    (b" OAuthBearer\r\n" + OAUTHBEARER, (b"",), BY_OAUTHBEARER),
    (b" OAUTHBEARER " + NAMELESS, (), oauth(AuthMethod.OAUTHBEARER, b"")),
    (b" OAUTHBEARER " + XOAUTH2, (), "client sent invalid login in AUTH OAUTHBEARER command"),
    (b" OAUTHBEARER a b", (), None),
]

# What clients say to the challenge of a refused token: RFC 7628 wants AQ==, XOAUTH2 nothing, RFC 4422 "*" to cancel.
ANSWERS = [b"", b"AQ==", b"*", b"=", XOAUTH2, OAUTHBEARER, b"!", b"NOOP", b"a NOOP", b"x " * 13, b"a\rb", b"\xff\0"]
TOKENS = [(b" XOAUTH2 " + XOAUTH2, BY_XOAUTH2), (b" OAUTHBEARER " + OAUTHBEARER, BY_OAUTHBEARER)]

# Where no method is enabled at all: PLAIN and LOGIN are taken all the same, as nginx does.
DISABLED: list[Exchange] = [
    (b" PLAIN " + PLAIN, (), plain(b"user", b"pass")),
    (b" PLAIN\r\n" + PLAIN, (b"",), plain(b"user", b"pass")),
    (b" LOGIN\r\n" + USER + b"\r\n" + PASS, (USERNAME, PASSWORD), login(b"user", b"pass")),
    (b" CRAM-MD5", (), None),
    (b" EXTERNAL", (), None),
    (b" EXTERNAL cm9vdA==", (), None),
    (b" XOAUTH2 " + XOAUTH2, (), None),
    (b" OAUTHBEARER " + OAUTHBEARER, (), None),
]


def case_of(protocol: str, exchange: Exchange, auth: AuthMethod) -> Case:
    said, challenges, outcome = exchange
    heard = b"".join(CHALLENGE[protocol] + challenge + b"\r\n" for challenge in challenges)
    heard += NO[protocol] if isinstance(outcome, Login) else BAD[protocol]
    logins = [outcome] if isinstance(outcome, Login) else []
    log = [outcome] if isinstance(outcome, str) else []
    return Case("", COMMAND[protocol] + said + b"\r\n", heard, logins, log, settings={"auth": auth})


@pytest.mark.parametrize("protocol", COMMAND)
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange[0].decode("ascii").strip())
def test_exchanges(protocol: str, exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    check(protocol, case_of(protocol, exchange, ALL_METHODS), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
@pytest.mark.parametrize("exchange", OAUTH_EXCHANGES, ids=lambda exchange: exchange[0].decode("ascii").strip())
def test_exchanges_of_tokens(protocol: str, exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    check(protocol, case_of(protocol, exchange, OAUTH), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
@pytest.mark.parametrize(("said", "login"), TOKENS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_answers_the_challenge_of_a_refused_token_the_refusal_follows(
    protocol: str, said: bytes, login: Login, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = COMMAND[protocol] + said + b"\r\n" + answer + b"\r\n"
    heard = CHALLENGE[protocol] + b"e30=\r\n" + NO[protocol]
    case = Case("", once * 2, heard * 2, [login] * 2, settings={"auth": OAUTH}, refusal=TOKEN_REFUSED)
    check(protocol, case, monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_an_answer_that_fits_no_buffer_is_refused_like_any_other(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = COMMAND[protocol] + b" XOAUTH2 " + XOAUTH2 + b"\r\n" + b"x" * 200
    heard = CHALLENGE[protocol] + b"e30=\r\n" + NO[protocol] + BAD[protocol].replace(b"a ", b"* ", 1)
    log = ['client sent too long command "..."']
    settings = {"auth": OAUTH, "client_buffer": 128}
    case = Case("", said, heard, [BY_XOAUTH2], log, OVER, settings=settings, refusal=TOKEN_REFUSED)
    check(protocol, case, monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_to_act_for_somebody_else_is_refused_and_may_be_tried_again(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = COMMAND[protocol] + b" PLAIN " + b64encode(b"boss\0user\0pass") + b"\r\n"
    heard = NO[protocol].replace(b"refused", b"Authorization identity is not allowed")
    log = ['client sent another authorization identity in AUTH PLAIN command, login: "user"']
    check(protocol, Case("", said * 7, heard * 7, log=log * 7), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_whom_the_client_wants_to_act_for_is_told_where_that_is_wanted(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"source": auth_http_settings(authzid=True)}
    for authzid, sent in ((b"boss", b"boss"), (b"user", None), (b"", None)):
        said = COMMAND[protocol] + b" PLAIN " + b64encode(b"%b\0user\0pass" % authzid) + b"\r\n"
        wanted = replace(plain(b"user", b"pass"), authzid=sent)
        check(protocol, Case("", said, NO[protocol], [wanted], settings=told), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_other_methods_have_no_last_challenge(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = COMMAND[protocol] + b" PLAIN " + PLAIN + b"\r\n"
    check(protocol, Case("", said, NO[protocol], [plain(b"user", b"pass")], refusal=TOKEN_REFUSED), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_max_commands_counts_commands_and_responses(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = COMMAND[protocol] + b" LOGIN\r\n" + USER + b"\r\n" + PASS + b"\r\n"
    prompts = b"".join(CHALLENGE[protocol] + prompt + b"\r\n" for prompt in (USERNAME, PASSWORD))
    log = ['client sent too many commands, login: "user"']
    enough = prompts + NO[protocol] + prompts + BAD[protocol]
    case = Case("", said * 3, enough, [login(b"user", b"pass")], log, end=OVER, settings={"max_commands": 5})
    check(protocol, case, monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_the_command_that_is_too_many_is_refused_with_its_tag(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = b"b " if protocol == "imap" else b""
    said = b"a NOOP\r\n".removeprefix(b"" if tag else b"a ") + (tag + b"NOOP\r\n") * 3
    first = {"imap": b"a OK completed\r\n", "pop3": b"+OK\r\n", "smtp": b"250 2.0.0 OK\r\n"}
    heard = first[protocol] + BAD[protocol].replace(b"a ", tag, 1) if tag else first[protocol] + BAD[protocol]
    log = ["client sent too many commands"]
    check(protocol, Case("", said, heard, log=log, end=OVER, settings={"max_commands": 1}), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
@pytest.mark.parametrize("exchange", DISABLED, ids=lambda exchange: exchange[0].decode("ascii").strip())
def test_exchanges_that_are_not_enabled(protocol: str, exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    check(protocol, case_of(protocol, exchange, AuthMethod(0)), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_a_command_may_follow_a_failed_exchange(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = COMMAND[protocol] + b" LOGIN\r\n*\r\n" + COMMAND[protocol] + b" PLAIN " + PLAIN + b"\r\n"
    heard = CHALLENGE[protocol] + USERNAME + b"\r\n" + BAD[protocol] + NO[protocol]
    log = ["client sent invalid base64 encoding in AUTH LOGIN command"]
    check(protocol, Case("", said, heard, [plain(b"user", b"pass")], log), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_failed_exchanges_do_not_count_as_invalid_commands(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (COMMAND[protocol] + b" PLAIN !\r\n") * 7
    log = ["client sent invalid base64 encoding in AUTH PLAIN command"] * 7
    check(protocol, Case("", said, BAD[protocol] * 7, log=log), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_a_response_of_too_many_words_counts(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (COMMAND[protocol] + b" PLAIN\r\n" + b"x " * 13 + b"\r\n") * 6
    heard = (CHALLENGE[protocol] + b"\r\n" + BAD[protocol]) * 5
    check(protocol, Case("", said, heard, log=[TOO_MANY], end=OVER), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_a_too_long_response(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = COMMAND[protocol] + b" PLAIN\r\n" + b"x" * 200
    heard = CHALLENGE[protocol] + b"\r\n" + BAD[protocol]
    log = ['client sent too long command "..."']
    check(protocol, Case("", said, heard, log=log, end=OVER, settings={"client_buffer": 128}), monkeypatch)


@pytest.mark.parametrize("protocol", COMMAND)
def test_no_challenge_is_given_twice(protocol: str) -> None:
    said = (COMMAND[protocol] + b" CRAM-MD5\r\n*\r\n") * 50
    outcome = converse(server_of(protocol, {"auth": AuthMethod.CRAM_MD5}), MemoryStream(said))
    prefix = CHALLENGE[protocol]
    challenges = [line.removeprefix(prefix) for line in outcome.replies.splitlines() if line.startswith(prefix)]
    assert len(set(challenges)) == 50
    assert all(b64decode(challenge).endswith(b"@mail.example.com>") for challenge in challenges)
