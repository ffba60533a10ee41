from __future__ import annotations

from dataclasses import replace

import pytest

from mailworker.model import AuthMethod, Starttls
from tests.mail.dialogue.dialogues import ALL_METHODS, OVER, Case, check, converse, names, plain, server_of
from tests.support.memory_stream import MemoryStream
from tests.wire.chunkings import chunkings

NO = b"refused\r\n"
BAD = b" BAD invalid command\r\n"
CAPABILITY = b"* CAPABILITY IMAP4 IMAP4rev1 UIDPLUS"
LITERAL = b"+ OK\r\n"
TOO_MANY = "client sent too many invalid commands"
ON = {"starttls": Starttls.ON}
ONLY = {"starttls": Starttls.ONLY}

COMMANDS = [
    Case("capability", b"a CAPABILITY\r\n", CAPABILITY + b" AUTH=PLAIN\r\na OK completed\r\n"),
    Case(
        "any case, bare LF, arguments",
        b"a.1-_ cApAbility x y z\n",
        CAPABILITY + b" AUTH=PLAIN\r\na.1-_ OK completed\r\n",
    ),
    Case("noop", b"a NOOP\r\n", b"a OK completed\r\n"),
    Case("spaces before the command", b"a   NOOP\r\n", b"a OK completed\r\n"),
    Case("logout", b"a LOGOUT\r\nb NOOP\r\n", b"* BYE Logging out\r\na OK completed\r\n", end=OVER),
    Case("login", b"a LOGIN u p\r\n", b"a NO " + NO, [plain(b"u", b"p")]),
    Case("login in quotes", b'a LOGIN "u \\" x" "\\\\p"\r\n', b"a NO " + NO, [plain(b'u " x', b"\\p")]),
    Case("login with an empty password", b'a LOGIN u ""\r\n', b"a NO " + NO, [plain(b"u", b"")]),
    Case(
        "login by literals",
        b"a LOGIN {3}\r\nu\r\n {2}\r\npp\r\n",
        LITERAL * 2 + b"a NO " + NO,
        [plain(b"u\r\n", b"pp")],
    ),
    Case(
        "login by literals that nobody waits for",
        b"a LOGIN {1+}\r\nu {2+}\r\npp\r\n",
        b"a NO " + NO,
        [plain(b"u", b"pp")],
    ),
    Case("an empty literal is an empty string", b"a LOGIN u {0}\r\n\r\n", LITERAL + b"a NO " + NO, [plain(b"u", b"")]),
    Case(
        "login whatever imap_auth says",
        b"a LOGIN u p\r\n",
        b"a NO " + NO,
        [plain(b"u", b"p")],
        settings={"auth": AuthMethod.CRAM_MD5},
    ),
    Case(
        "login may be tried again",
        b"a LOGIN u p\r\nb LOGIN v q\r\n",
        b"a NO refused\r\nb NO refused\r\n",
        [plain(b"u", b"p"), plain(b"v", b"q")],
    ),
    Case(
        "an invalid line after a failed login has no tag",
        b"a LOGIN u p\r\n((\r\n",
        b"a NO " + NO + b"*" + BAD,
        [plain(b"u", b"p")],
    ),
    Case(
        "pipelining",
        b"a NOOP\r\nb CAPABILITY\r\nc XYZ\r\nd LOGOUT\r\n",
        b"a OK completed\r\n"
        + CAPABILITY
        + b" AUTH=PLAIN\r\nb OK completed\r\nc BAD invalid command\r\n* BYE Logging out\r\nd OK completed\r\n",
        end=OVER,
    ),
    Case(
        "more commands than the buffer holds",
        b"a NOOP\r\n" * 30,
        b"a OK completed\r\n" * 30,
        settings={"client_buffer": 32},
    ),
    Case("half a command", b"a NOO", b""),
    Case(
        "id",
        b'a ID ("name" {4+}\r\nabcd)\r\nb ID NIL\r\n',
        b"* ID NIL\r\na OK completed\r\n* ID NIL\r\nb OK completed\r\n",
        log=['client sent ID: name="abcd"'],
    ),
    Case(
        "the first id counts, and goes with the login",
        b'a ID ("name" "a\\"\\\\b" "os" NIL)\r\nb ID ("name" "c")\r\nc LOGIN u p\r\n',
        b"* ID NIL\r\na OK completed\r\n* ID NIL\r\nb OK completed\r\nc NO " + NO,
        [replace(plain(b"u", b"p"), client_id=b'("name" "a\\"\\\\b" "os" NIL)')],
        log=['client sent ID: name="a\\x22\\x5Cb"'],
    ),
    Case(
        "an answer to id",
        b"a ID NIL\r\n",
        b'* ID ("name" "x")\r\na OK completed\r\n',
        log=["client sent ID: NIL"],
        settings={"identity": b'("name" "x")'},
    ),
    Case(
        "what was said in clear is forgotten",
        b'a ID ("name" "forged")\r\nb STARTTLS\r\n',
        b"* ID NIL\r\na OK completed\r\nb OK completed\r\nc NO " + NO + b"* ID NIL\r\nd OK completed\r\n",
        [plain(b"u", b"p")],
        log=['client sent ID: name="forged"', "client sent ID: NIL"],
        said_in_tls=b"c LOGIN u p\r\nd ID NIL\r\n",
        settings=ON,
    ),
    Case("tags", b"tag/1 NOOP\r\n<A1=]# LOGIN u p\r\n", b"tag/1 OK completed\r\n<A1=]# NO " + NO, [plain(b"u", b"p")]),
]

REFUSALS = [
    Case("login without arguments", b"a LOGIN\r\n", b"a" + BAD),
    Case("login with one argument", b"a LOGIN u\r\n", b"a" + BAD),
    Case("login with three arguments", b"a LOGIN u p x\r\n", b"a" + BAD),
    Case("login without a name", b'a LOGIN "" p\r\n', b"a" + BAD),
    Case("authenticate without arguments", b"a AUTHENTICATE\r\n", b"a" + BAD),
    Case("refusals do not count", b"a LOGIN\r\n" * 7, b"a BAD invalid command\r\n" * 7),
    Case("starttls where it is off", b"a STARTTLS\r\n", b"a" + BAD),
    Case("an empty tag", b" NOOP\r\n", b"" + BAD),
    Case("no tag", b"\r\n", b"*" + BAD),
    Case("a bad tag", b"a+ NOOP\r\n", b"*" + BAD),
    Case("a script for a browser", b"<script> SCRIPT\r\n", b"*" + BAD),
    Case("an unknown command", b"a SELECT INBOX\r\nb NOOP\r\n", b"a" + BAD + b"b OK completed\r\n"),
    Case("five of them", b"a SELECT x\r\n" * 6, (b"a" + BAD) * 5, log=[TOO_MANY], end=OVER),
    Case(
        "good commands do not forgive bad ones",
        b"a X\r\nb NOOP\r\n" * 5,
        (b"a" + BAD + b"b OK completed\r\n") * 4 + b"a" + BAD,
        log=[TOO_MANY],
        end=OVER,
    ),
    Case("no patience at all", b"a X\r\n", b"a" + BAD, log=[TOO_MANY], end=OVER, settings={"max_errors": 0}),
    Case("data behind a refused command", b"a FOO {7+}\r\nb NOOP\r\nc NOOP\r\n", b"a" + BAD + b"c OK completed\r\n"),
    Case("data that fits no buffer", b"a FOO {4096+}\r\nb NOOP\r\n", b"a" + BAD, end=OVER),
    Case("a literal that was not sent yet", b"a FOO {7}\r\nb NOOP\r\n", b"a" + BAD + b"b OK completed\r\n"),
    Case(
        "a literal too large for the buffer", b"a LOGIN {4294967296}\r\nb NOOP\r\n", b"a" + BAD + b"b OK completed\r\n"
    ),
    Case("a literal of many digits", b"a LOGIN {99999999999999999999999}\r\n", b"a" + BAD),
    Case(
        "a too long command",
        b"a LOGIN " + b"x" * 30,
        b"a" + BAD,
        log=['client sent too long command "a LOGIN ..."'],
        end=OVER,
        settings={"client_buffer": 32},
    ),
    Case(
        "a too long tag",
        b"x" * 40,
        b"*" + BAD,
        log=['client sent too long command "..."'],
        end=OVER,
        settings={"client_buffer": 32},
    ),
    Case(
        "a log line cannot be forged",
        b"a\r\nb NOOP " + b'"\x1b' * 16,
        b"*" + BAD + b"b" + BAD,
        log=['client sent too long command "' + r"b NOOP " + r"\x22\x1B" * 12 + r"\x22" + '"'],
        end=OVER,
        settings={"client_buffer": 32},
    ),
    Case(
        "the protocol of browsers",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\nG: h\r\n",
        b"".join(tag + BAD for tag in (b"GET", b"Host:", b"A:", b"C:", b"E:")),
        log=[TOO_MANY],
        end=OVER,
    ),
]

STARTTLS = [
    Case("offered", b"a CAPABILITY\r\n", CAPABILITY + b" AUTH=PLAIN STARTTLS\r\na OK completed\r\n", settings=ON),
    Case("demanded", b"a CAPABILITY\r\n", CAPABILITY + b" STARTTLS LOGINDISABLED\r\na OK completed\r\n", settings=ONLY),
    Case(
        "demanded before login",
        b"a LOGIN u p\r\nb AUTHENTICATE PLAIN AHUAcA==\r\nc AUTHENTICATE PLAIN\r\n",
        b"a" + BAD + b"b" + BAD + b"c" + BAD,
        settings=ONLY,
    ),
    Case(
        "capability afterwards",
        b"a STARTTLS\r\n",
        b"a OK completed\r\n" + CAPABILITY + b" AUTH=PLAIN\r\nb OK completed\r\n",
        said_in_tls=b"b CAPABILITY\r\n",
        settings=ONLY,
    ),
    Case(
        "login afterwards",
        b"a STARTTLS x\r\n",
        b"a OK completed\r\nb NO " + NO,
        [plain(b"u", b"p")],
        said_in_tls=b"b LOGIN u p\r\n",
        settings=ONLY,
    ),
    Case("not twice", b"a STARTTLS\r\n", b"a OK completed\r\nb" + BAD, said_in_tls=b"b STARTTLS\r\n", settings=ON),
    Case(
        "drops what was sent in clear",
        b"a STARTTLS\r\nevil NOOP\r\nevil LOGIN",
        b"a OK completed\r\nc OK completed\r\n",
        said_in_tls=b"c NOOP\r\n",
        settings=ON,
    ),
    Case(
        "drops half a literal",
        b"a STARTTLS\r\nevil LOGIN {4+}\r\nab",
        b"a OK completed\r\nc OK completed\r\n",
        said_in_tls=b"c NOOP\r\n",
        settings=ON,
    ),
    Case(
        "keeps the error count",
        b"a X\r\na X\r\na X\r\nb STARTTLS\r\n",
        (b"a" + BAD) * 3 + b"b OK completed\r\n" + (b"c" + BAD) * 2,
        log=[TOO_MANY],
        end=OVER,
        said_in_tls=b"c X\r\nc X\r\nc X\r\n",
        settings=ON,
    ),
]

CAPABILITIES = [
    (b"CRAM-MD5 EXTERNAL", AuthMethod.CRAM_MD5 | AuthMethod.EXTERNAL),
    (b"PLAIN LOGIN CRAM-MD5 EXTERNAL", ALL_METHODS),
    (b"", AuthMethod(0)),
]


CASES = [*COMMANDS, *REFUSALS, *STARTTLS]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_dialogues(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    check("imap", case, monkeypatch)


@pytest.mark.parametrize(("names", "auth"), CAPABILITIES)
def test_mechanisms_are_advertised_in_nginx_order(
    names: bytes, auth: AuthMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = b"".join(b" AUTH=" + name for name in names.split())
    heard = CAPABILITY + words + b"\r\na OK completed\r\n"
    check("imap", Case("", b"a CAPABILITY\r\n", heard, settings={"auth": auth}), monkeypatch)


@pytest.mark.parametrize("command", [b"LOGIN u p", b"AUTHENTICATE PLAIN AHUAcA==", b"AUTHENTICATE PLAIN\r\nAHUAcA=="])
def test_a_login_carries_the_tag_of_its_command(command: bytes) -> None:
    outcome = converse(server_of("imap", {}), MemoryStream(b"a NOOP\r\nb2 " + command + b"\r\n"))
    assert (outcome.logins, outcome.told) == ([plain(b"u", b"p")], [(b"b2", b"", False)])


@pytest.mark.parametrize("login", [b'b LOGIN "u" p\r\n', b"b LOGIN u p\n"])
def test_a_login_that_no_parser_reads_keeps_its_place(login: bytes) -> None:
    """Behind a first one that was refused, before what follows it, and within an exchange that it ends."""
    for said in (login + b"a NOOP\r\n", b"a NOOP\r\n" + login):
        outcomes = [converse(server_of("imap", {}), MemoryStream(*pieces)) for pieces in chunkings(said)]
        assert all(outcome == outcomes[0] for outcome in outcomes)
        assert [each.name for each in outcomes[0].logins] == [b"u"]
    again = converse(server_of("imap", {}), MemoryStream(login, login, b"a AUTHENTICATE PLAIN\r\n", login))
    assert len(again.logins) == 2
    assert again.replies.endswith(b"+ \r\na BAD invalid command\r\n")
