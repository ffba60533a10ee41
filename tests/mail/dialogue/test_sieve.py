from __future__ import annotations

from base64 import b64encode

import pytest

from mailworker.model import AuthMethod, Starttls
from mailworker.wire.auth_response import Rejected
from tests.mail.dialogue.dialogues import (
    ALL_METHODS,
    OAUTH,
    OVER,
    SALT64,
    Case,
    check,
    cram_md5,
    external,
    login,
    names,
    oauth,
    plain,
)

LIST = b'"IMPLEMENTATION" "mailworker"\r\n"SIEVE" "fileinto"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\n'
WITH_STARTTLS = LIST.replace(b'"VERSION"', b'"STARTTLS"\r\n"VERSION"')
READY = b'OK "ManageSieve ready."\r\n'
DONE, NO = b'OK "Done."\r\n', b'NO "refused"\r\n'
INVALID, FIRST = b'NO "Invalid command."\r\n', b'NO "Log in first."\r\n'
BYE = b'BYE "Too many invalid commands, or one too long."\r\n'
GO_AHEAD = b'OK "Begin TLS negotiation now."\r\n'
TOO_MANY = "client sent too many invalid commands"
ENCRYPT = b'NO (ENCRYPT-NEEDED) "STARTTLS is needed first."\r\n'
ON, ONLY = {"starttls": Starttls.ON}, {"starttls": Starttls.ONLY}
PLAIN = b64encode(b"\0u\0p")
LOGIN = b'AUTHENTICATE "PLAIN" "%b"\r\n' % PLAIN
DIGEST = b"0123456789abcdef0123456789abcdef"
BASE64 = "client sent invalid base64 encoding in AUTH PLAIN command"

COMMANDS = [
    Case("capability", b"CAPABILITY\r\ncapability\n", (LIST + b'OK "Capability completed."\r\n') * 2),
    Case("noop", b"NOOP\r\nnoop\n", DONE * 2),
    Case("noop with a tag", b'NOOP "STARTTLS-RESYNC-CAPA"\r\n', b'OK (TAG "STARTTLS-RESYNC-CAPA") "Done."\r\n'),
    Case("its tag is quoted again", b'NOOP {4+}\r\na"\\)\r\n', b'OK (TAG "a\\"\\\\)") "Done."\r\n'),
    Case("a tag that cannot be", b"NOOP {4+}\r\na\r\nb\r\n", b'OK (TAG {4}\r\na\r\nb) "Done."\r\n'),
    Case("logout", b"LOGOUT\r\nNOOP\r\n", b'OK "Logout completed."\r\n', end=OVER),
    Case(
        "what comes after the login",
        b'HAVESPACE "x" 1\r\nPUTSCRIPT "x" {7+}\r\nNOOP\r\n \r\nLISTSCRIPTS\r\nSETACTIVE ""\r\nUNAUTHENTICATE\r\n'
        b'GETSCRIPT "x"\r\nDELETESCRIPT "x"\r\nRENAMESCRIPT "x" "y"\r\nCHECKSCRIPT {0}\r\n\r\n',
        FIRST * 9,
    ),
    Case(
        "too many arguments",
        b'NOOP "x" "y"\r\nCAPABILITY "x"\r\nLOGOUT "x"\r\nSTARTTLS "x"\r\n',
        INVALID * 4,
    ),
    Case("invalid commands", b"FOO\r\n" * 6, INVALID * 4 + BYE, log=[TOO_MANY], end=OVER),
    Case("authenticate alone", b"AUTHENTICATE\r\nNOOP\r\n", INVALID + DONE),
    Case("a literal that fits no buffer", b"NOOP {4294967296+}\r\nNOOP\r\n", BYE, end=OVER),
    Case(
        "a line that fits no buffer",
        b'AUTHENTICATE "PLAIN" "%b' % (b"x" * 5000),
        BYE,
        log=['client sent too long command "AUTHENTICATE ..."'],
        end=OVER,
    ),
    Case("starttls where there is none", b"STARTTLS\r\n", INVALID),
]

LOGINS = [
    Case("at once", LOGIN, NO, [plain(b"u", b"p")]),
    Case("by a literal", b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(PLAIN), PLAIN), NO, [plain(b"u", b"p")]),
    Case("by a literal of an old client", b'AUTHENTICATE "plain" {8}\r\nAHUAcA==\r\n', NO, [plain(b"u", b"p")]),
    Case("after a challenge", b'AUTHENTICATE "PLAIN"\r\n"%b"\r\n' % PLAIN, b'""\r\n' + NO, [plain(b"u", b"p")]),
    Case("may be tried again", LOGIN * 2, NO * 2, [plain(b"u", b"p")] * 2),
    Case("cancelled", b'AUTHENTICATE "PLAIN"\r\n"*"\r\nNOOP\r\n', b'""\r\n' + INVALID + DONE, log=[BASE64]),
    Case("an unknown mechanism", b'AUTHENTICATE "GSSAPI" ""\r\n', INVALID),
    Case("three arguments", b'AUTHENTICATE "PLAIN" "" ""\r\n', INVALID),
    Case(
        "login, whose client does not wait",
        b'AUTHENTICATE "LOGIN"\r\n"dQ=="\r\n"cA=="\r\n',
        b'"VXNlcm5hbWU6"\r\n"UGFzc3dvcmQ6"\r\n' + NO,
        [login(b"u", b"p")],
    ),
    Case(
        "cram-md5",
        b'AUTHENTICATE "CRAM-MD5"\r\n"%b"\r\n' % b64encode(b"u " + DIGEST),
        b'"%b"\r\n' % SALT64 + NO,
        [cram_md5(b"u", DIGEST)],
        settings={"auth": ALL_METHODS},
    ),
    Case("external", b'AUTHENTICATE "EXTERNAL" ""\r\n', NO, [external(b"")], settings={"auth": ALL_METHODS}),
    Case(
        "a token whose refusal has a reason",
        b'AUTHENTICATE "XOAUTH2" "%b"\r\n""\r\nNOOP\r\n' % b64encode(b"user=u\1auth=Bearer token\1\1"),
        b'"e30="\r\n' + NO + DONE,
        [oauth(AuthMethod.XOAUTH2, b"u")],
        settings={"auth": OAUTH},
        refusal=Rejected(b"refused", wait=1, sasl=b"e30="),
    ),
]

STARTTLS = [
    Case("a list comes unasked", b"STARTTLS\r\n", GO_AHEAD + LIST + READY, settings=ON),
    Case("and when asked for", b"STARTTLS\r\n", GO_AHEAD + LIST + READY + LIST + b'OK "Capability completed."\r\n',
         said_in_tls=b"CAPABILITY\r\n", settings=ON),
    Case("once", b"STARTTLS\r\n", GO_AHEAD + LIST + READY + INVALID, said_in_tls=b"STARTTLS\r\n", settings=ON),
    Case("what came before it is dropped", b"STARTTLS\r\nLOGOUT\r\n", GO_AHEAD + LIST + READY, settings=ON),
    Case("is listed in clear", b"CAPABILITY\r\n", WITH_STARTTLS + b'OK "Capability completed."\r\n', settings=ON),
    Case("is needed first", LOGIN, ENCRYPT, settings=ONLY),
    Case("is needed first for all", b'AUTHENTICATE "PLAIN"\r\nNOOP\r\n', ENCRYPT + DONE, settings=ONLY),
    Case("then there are logins", b"STARTTLS\r\n", GO_AHEAD + LIST + READY + NO, [plain(b"u", b"p")],
         said_in_tls=LOGIN, settings=ONLY),
]  # fmt: skip

VERDICTS = [
    (b"", b'""'),
    (b'it is "wrong"', b'"it is \\"wrong\\""'),
    (b"(TRYLATER) later", b'(TRYLATER) "later"'),
    (b"(limit/connections)  many", b'(LIMIT/CONNECTIONS) "many"'),
    (b'(REFERRAL "sieve://x") go', b'"(REFERRAL \\"sieve://x\\") go"'),
    (b"(REFERRAL) go", b'"(REFERRAL) go"'),
    (b"(a b) c", b'"(a b) c"'),
    (b"\xff", '"\ufffd"'.encode()),
]


CASES = [*COMMANDS, *LOGINS, *STARTTLS]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_dialogues(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    check("sieve", case, monkeypatch)


@pytest.mark.parametrize(("said", "heard"), VERDICTS, ids=repr)
def test_a_verdict_is_one_quoted_text_behind_its_code(
    said: bytes, heard: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("verdict", LOGIN, b"NO %b\r\n" % heard, [plain(b"u", b"p")], refusal=Rejected(said, wait=1))
    check("sieve", case, monkeypatch)
