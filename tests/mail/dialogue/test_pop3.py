from __future__ import annotations

import pytest

from mailworker.model import AuthMethod, Starttls
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret
from tests.mail.dialogue.dialogues import (
    ALL_METHODS,
    OVER,
    SALT,
    Case,
    check,
    converse,
    names,
    next_request,
    plain,
    server_of,
)
from tests.mail.dialogue.test_dialogue import dialogue_of
from tests.support.memory_stream import MemoryStream, run

OK = b"+OK\r\n"
ERR = b"-ERR invalid command\r\n"
NO = b"-ERR refused\r\n"
CAPA = b"+OK Capability list follows\r\nTOP\r\nUSER\r\nUIDL\r\nSASL PLAIN LOGIN\r\n"
TOO_MANY = "client sent too many invalid commands"
ON = {"starttls": Starttls.ON}
ONLY = {"starttls": Starttls.ONLY}
APOP = {"auth": AuthMethod.APOP}

COMMANDS = [
    Case("user and pass", b"USER u\r\nPASS p\r\n", OK + NO, [plain(b"u", b"p")]),
    Case("spaces are part of both", b"USER  u v \r\npass  p  q \r\n", OK + NO, [plain(b"u v ", b" p  q ")]),
    Case("whatever pop3_auth says", b"USER u\r\nPASS p\r\n", OK + NO, [plain(b"u", b"p")], settings=APOP),
    Case(
        "may be tried again",
        b"USER u\r\nPASS p\r\nUSER v\r\nPASS q\r\n",
        (OK + NO) * 2,
        [plain(b"u", b"p"), plain(b"v", b"q")],
    ),
    Case("capa", b"CAPA x\r\n", CAPA + b".\r\n"),
    Case("noop", b"noop\nNOOP x y\r\n", OK * 2),
    Case("quit", b"QUIT\r\nNOOP\r\n", OK, end=OVER),
    Case("auth alone", b"AUTH\r\n", b"+OK methods supported:\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
    Case(
        "auth alone with all",
        b"AUTH\r\n",
        b"+OK methods supported:\r\nPLAIN\r\nLOGIN\r\nCRAM-MD5\r\nEXTERNAL\r\n.\r\n",
        settings={"auth": ALL_METHODS},
    ),
    Case(
        "capa with all",
        b"CAPA\r\n",
        CAPA.replace(b"LOGIN", b"LOGIN CRAM-MD5 EXTERNAL") + b".\r\n",
        settings={"auth": ALL_METHODS},
    ),
    Case("capa with none", b"CAPA\r\n", CAPA.replace(b"SASL PLAIN LOGIN\r\n", b"") + b".\r\n", settings=APOP),
    Case("apop", b"APOP u digest\r\n", NO, [Login(AuthMethod.APOP, b"u", Secret(b"digest"), SALT)], settings=APOP),
    Case("more commands than the buffer holds", b"NOOP\r\n" * 60, OK * 60),
    Case("half a command", b"USER u\r\nPASS", OK),
]

AFTER_USER = [
    Case("capa, noop and quit", b"USER u\r\nCAPA\r\nNOOP\r\nQUIT\r\n", OK + CAPA + b".\r\n" + OK * 2, end=OVER),
    Case(
        "they leave the name alone",
        b"USER u\r\nCAPA\r\nNOOP\r\nPASS p\r\n",
        OK + CAPA + b".\r\n" + OK + NO,
        [plain(b"u", b"p")],
    ),
    Case("capa never shows stls", b"USER u\r\nCAPA\r\n", OK + CAPA + b".\r\n", settings=ON),
] + [
    Case(
        f"{line.decode()} forgets the name",
        b"USER u\r\n" + line + b"\r\nPASS p\r\n",
        OK + ERR * 2,
        settings=ON | {"auth": ALL_METHODS},
    )
    for line in (
        b"USER v",
        b"STLS",
        b"APOP u d",
        b"AUTH",
        b"AUTH PLAIN",
        b"AUTH PLAIN AHUAcA==",
        b"PASS",
        b"PASS  ",
        b"STAT",
        b"",
    )
]

REFUSALS = [
    Case("user without a name", b"USER\r\nUSER  \r\nPASS p\r\n", ERR * 3),
    Case("pass without user", b"PASS p\r\n", ERR),
    Case("apop where it is off", b"APOP u d\r\n", ERR),
    Case("apop with one argument", b"APOP u\r\n", ERR, settings=APOP),
    Case("apop with three arguments", b"APOP u d x\r\n", ERR, settings=APOP),
    Case("stls where it is off", b"STLS\r\n", ERR),
    Case("refusals do not count", b"PASS x\r\n" * 7, ERR * 7),
    Case(
        "commands of the next state",
        b"STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nRSET\r\nNOOP\r\n",
        ERR * 5,
        log=[TOO_MANY],
        end=OVER,
    ),
    Case("an empty line", b"\r\nNOOP\r\n", ERR + OK),
    Case("a leading space", b" NOOP\r\n", ERR),
    Case("CR inside", b"NOOP\rNOOP\r\nNOOP\r\n", ERR + OK),
    Case("too many arguments", b"AUTH a b c d\r\n", ERR),
    Case(
        "a too long line",
        b"USER " + b"x" * 200,
        ERR,
        log=['client sent too long command "USER ..."'],
        end=OVER,
    ),
    Case("the longest line", b"USER " + b"x" * 121 + b"\r\nPASS p\r\n", OK + NO, [plain(b"x" * 121, b"p")]),
]

STLS = [
    Case("offered", b"CAPA\r\n", CAPA + b"STLS\r\n.\r\n", settings=ON),
    Case("demanded", b"CAPA\r\n", b"+OK Capability list follows\r\nTOP\r\nUIDL\r\nSTLS\r\n.\r\n", settings=ONLY),
    Case(
        "demanded before login",
        b"USER u\r\nPASS p\r\nAPOP u d\r\nAUTH\r\nAUTH PLAIN\r\nAUTH PLAIN AHUAcA==\r\n",
        ERR * 6,
        settings=ONLY | APOP,
    ),
    Case("capa afterwards", b"STLS\r\n", OK + CAPA + b".\r\n", said_in_tls=b"CAPA\r\n", settings=ONLY),
    Case(
        "login afterwards",
        b"STLS x\r\n",
        OK * 2 + NO,
        [plain(b"u", b"p")],
        said_in_tls=b"USER u\r\nPASS p\r\n",
        settings=ONLY,
    ),
    Case("not twice", b"STLS\r\n", OK + ERR, said_in_tls=b"STLS\r\n", settings=ON),
    Case(
        "drops what was sent in clear", b"STLS\r\nUSER evil\r\nPASS e", OK + ERR, said_in_tls=b"PASS p\r\n", settings=ON
    ),
    Case(
        "apop has the salt of the greeting",
        b"STLS\r\n",
        OK + NO,
        [Login(AuthMethod.APOP, b"u", Secret(b"d"), SALT)],
        said_in_tls=b"APOP u d\r\n",
        settings=ON | APOP,
    ),
]


CASES = [*COMMANDS, *AFTER_USER, *REFUSALS, *STLS]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_dialogues(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    check("pop3", case, monkeypatch)


@pytest.mark.parametrize("auth", [AuthMethod.APOP, AuthMethod.CRAM_MD5])
def test_the_greeting_has_a_salt_of_its_own_where_one_is_used(auth: AuthMethod) -> None:
    greetings = set()
    for _ in range(100):
        stream = MemoryStream()
        converse(server_of("pop3", {"auth": auth}), stream)
        assert stream.output.startswith(b"+OK POP3 ready <")
        assert stream.output.endswith(b"@mail.example.com>\r\n")
        greetings.add(stream.output)
    assert len(greetings) == 100


def test_the_greeting_has_no_salt_where_none_is_used() -> None:
    stream = MemoryStream()
    converse(server_of("pop3", {}), stream)
    assert stream.output == b"+OK POP3 ready\r\n"


@pytest.mark.parametrize("greets", [AuthMethod.APOP, AuthMethod.CRAM_MD5, AuthMethod.PLAIN])
def test_apop_answers_the_greeting_whichever_server_it_came_from(greets: AuthMethod) -> None:
    """Without a timestamp there the same answer would be right for ever."""
    earlier = dialogue_of("pop3", MemoryStream(), auth=greets)
    salt = earlier.greeting().split()[-1]
    stream = MemoryStream(b"APOP user 0123456789abcdef0123456789abcdef\r\nQUIT\r\n")
    dialogue = dialogue_of("pop3", stream, auth=AuthMethod.APOP)
    dialogue.follow(earlier)
    request = run(next_request(dialogue))
    if greets is AuthMethod.PLAIN:
        assert (request, stream.output) == (None, b"-ERR invalid command\r\n+OK\r\n")
    else:
        assert isinstance(request, Login)
        assert request.salt == salt
