"""What the log says of commands that are refused, so that somebody can help the client: never a word of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.model import METHOD_NAMES, AuthMethod, Starttls
from mailworker.wire.confidential import WORDS
from mailworker.wire.sasl import FOREIGN
from mailworker.wire.sieve import SieveVerb
from tests.mail.cases import WITH_SIEVE, Case, all_protocols
from tests.mail.dialogue.dialogues import ALL_METHODS, OAUTH, Outcome, converse, server_of
from tests.support.memory_stream import MemoryStream

AUTH = {"imap": b"a AUTHENTICATE", "pop3": b"AUTH", "smtp": b"AUTH"}
STARTTLS = {"imap": b"a STARTTLS", "pop3": b"STLS", "smtp": b"STARTTLS"}
LOGIN = {"imap": b"a LOGIN user hunter2", "pop3": b"USER user", "smtp": b"AUTH PLAIN AHVzZXIAaHVudGVyMg=="}
PLAIN_ONLY = {"auth": AuthMethod.PLAIN}
ON, ONLY = {"starttls": Starttls.ON}, {"starttls": Starttls.ONLY}
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret\x00\x0a\x00"


def refused(protocol: str, said: bytes, settings: Mapping[str, object] | None = None, in_tls: bytes = b"") -> Outcome:
    return converse(server_of(protocol, dict(settings or {})), MemoryStream(said + b"\r\n"), in_tls)


@pytest.mark.parametrize(
    ("mechanism", "settings", "told"),
    [
        (b"NTLM", {}, "mechanism NTLM is not known"),
        (b"gssapi YII=", {}, "mechanism GSSAPI is not known"),
        (b"SCRAM-SHA-256", {}, "mechanism SCRAM-SHA-256 is not known"),
        (b"AHVzZXIAaHVudGVyMg==", {}, "mechanism is not known"),
        (b"CRAM-MD5", PLAIN_ONLY, "mechanism CRAM-MD5 is not enabled"),
        (b"EXTERNAL =", PLAIN_ONLY, "mechanism EXTERNAL is not enabled"),
        (b"XOAUTH2 eA==", PLAIN_ONLY, "mechanism XOAUTH2 is not enabled"),
        (b"OAUTHBEARER eA==", PLAIN_ONLY, "mechanism OAUTHBEARER is not enabled"),
        (b"CRAM-MD5 eA==", {"auth": ALL_METHODS}, "mechanism CRAM-MD5 with an initial response"),
        (b"PLAIN eA== eA==", {}, "mechanism PLAIN with invalid arguments"),
        (b"NTLM", ONLY, "login without TLS"),
    ],
)
@all_protocols
def test_a_mechanism(case: Case, mechanism: bytes, settings: dict[str, object], told: str) -> None:
    outcome = refused(case.protocol, AUTH[case.protocol] + b" " + mechanism, settings)
    assert outcome.refused == [told]


@all_protocols
def test_a_login_that_needs_tls(case: Case) -> None:
    outcome = refused(case.protocol, LOGIN[case.protocol], ONLY)
    assert outcome.refused == ["login without TLS"]


@all_protocols
def test_starttls(case: Case) -> None:
    start = STARTTLS[case.protocol]
    assert refused(case.protocol, start).refused == ["STARTTLS where it is off"]
    assert refused(case.protocol, start, ON, in_tls=start + b"\r\n").refused == ["STARTTLS inside TLS"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (HELLO, "TLS handshake in place of a command"),
        (b"GET /?password=secret HTTP/1.1\r\nHost: x\r\nAccept: */*", "HTTP request in place of a command"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "PROXY protocol header in place of a command"),
        (b"\x00", "PROXY protocol header in place of a command"),
        (b"a SELECT INBOX", "invalid command SELECT"),
        (b"xclient LOGIN=secret", "invalid command XCLIENT"),
        (b"hunter2 secret", "invalid command"),
        (b"", "invalid command"),
        (b'a "\r\n', "invalid command"),
    ],
)
@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_what_is_no_command_here(case: Case, said: bytes, told: str) -> None:
    assert refused(case.protocol, said).refused[0] == told


@pytest.mark.parametrize(
    ("protocol", "said", "told"),
    [
        ("imap", b"a LOGIN user", ["LOGIN with invalid arguments"]),
        ("imap", b'a LOGIN "" hunter2', ["LOGIN with invalid arguments"]),
        ("imap", b"a LOGIN a b c d", ["invalid command LOGIN"]),
        ("imap", b"a LOGIN a {9999999}", ["invalid command LOGIN with too long literal"]),
        ("imap", b"a LOGIN a {9999999+}", ["invalid command LOGIN with too long literal"]),
        ("imap", b"a LOGIN {3+}\r\nabc {5000+}", ["invalid command LOGIN with too long literal"]),
        ("imap", b'a ID ("name" {9999999+}', ["invalid command ID with too long literal"]),
        ("imap", b"a FETCH {3+}\r\nNOP LOGIN", ["invalid command FETCH"]),
        ("imap", b"a AUTHENTICATE", ["AUTHENTICATE without a mechanism"]),
        ("imap", b"a AUTHENTICATE LOGIN\r\na b c d e f", ["invalid response to a challenge"]),
        ("pop3", b"USER", ["USER without a name"]),
        ("pop3", b"PASS hunter2", ["PASS without USER"]),
        ("pop3", b"USER a\r\nPASS", ["PASS without a password"]),
        ("pop3", b"USER a\r\nSTLS", ["STLS between USER and PASS"]),
        ("pop3", b"APOP a b", ["mechanism APOP is not enabled"]),
        ("pop3", b"NOOP a b c d", ["invalid command NOOP"]),
        ("smtp", b"AUTH", ["AUTH without a mechanism"]),
        ("smtp", b"EHLO", ["EHLO with an invalid argument"]),
        ("smtp", b"HELO a\0b", ["HELO with an invalid argument"]),
        ("smtp", b"RCPT TO:<a@b>", ["RCPT without MAIL"]),
        ("smtp", b"VRFY hunter2\r\nHELP\r\nDATA", ["VRFY", "HELP", "invalid command DATA"]),
        ("smtp", b"BDAT 99999999", ["invalid command BDAT"]),
        ("smtp", b"NOOP" + b" x" * 12, ["invalid command NOOP"]),
        ("sieve", b"AUTHENTICATE PLAIN", ["invalid command AUTHENTICATE"]),
        ("sieve", b"AUTHENTICATE", ["invalid command AUTHENTICATE"]),
        ("sieve", b'AUTHENTICATE "NTLM"', ["mechanism NTLM is not known"]),
        ("sieve", b'AUTHENTICATE "PLAIN"\r\nhunter2', ["invalid response to a challenge"]),
        ("sieve", b'AUTHENTICATE "PLAIN"\r\n"a" {3+}\r\nabc "', ["invalid response to a challenge"]),
        ("sieve", b'NOOP "a" "b"\r\nLISTSCRIPTS', ["invalid command NOOP", "invalid command LISTSCRIPTS"]),
        ("sieve", b'PUTSCRIPT "hunter2" {4+}\r\nSTAT', ["invalid command PUTSCRIPT"]),
        ("sieve", b"LOGIN {4+}\r\nSTAT LIST", ["invalid command LOGIN"]),
        ("sieve", b'AUTHENTICATE "PLAIN" {9999999+}', ["invalid command AUTHENTICATE with too long literal"]),
        ("sieve", b'AUTHENTICATE "PLAIN"\r\n{30000+}', ["invalid response to a challenge with too long literal"]),
    ],
)
def test_a_command(protocol: str, said: bytes, told: Sequence[str]) -> None:
    assert refused(protocol, said, {"auth": AuthMethod.PLAIN}).refused == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>", "MAIL behind MAIL"),
        (b"MAIL", "MAIL with an invalid argument"),
        (b"MAIL FROM:<a@b>\r\nRCPT", "RCPT with an invalid argument"),
    ],
)
def test_an_envelope(said: bytes, told: str) -> None:
    assert refused("smtp", said, {"auth": AuthMethod.NONE}).refused == [told]


def test_apop_with_wrong_arguments() -> None:
    assert refused("pop3", b"APOP a", {"auth": ALL_METHODS}).refused == ["APOP with invalid arguments"]


def test_an_envelope_without_a_login_is_told_of_as_by_nginx() -> None:
    outcome = refused("smtp", b"MAIL FROM:<a@b>")
    assert outcome.log == ['client was rejected: "MAIL FROM:<a@b>__"']
    assert outcome.refused == []


@all_protocols
def test_one_client_adds_ten_lines_at_most_and_the_tenth_says_so(case: Case) -> None:
    outcome = refused(case.protocol, b"\r\n".join([AUTH[case.protocol] + b" NTLM"] * 50))
    assert outcome.refused[:9] == ["mechanism NTLM is not known"] * 9
    assert outcome.refused[9:] == ["mechanism NTLM is not known; further refusals are not logged"]
    assert outcome.log == []


@all_protocols
def test_unknown_commands_after_a_refusal_are_not_logged(case: Case) -> None:
    """Here the client goes on with the name and password of AUTH LOGIN, which was refused."""
    said = AUTH[case.protocol] + b" LOGIN\r\ndXNlcg==\r\naHVudGVyMg=="
    assert refused(case.protocol, said, ONLY).refused == ["login without TLS"]


_ENGLISH = (
    "a an and are between behind challenge client command does enabled further handshake header in initial inside "
    "invalid is it known literal logged login long mechanism name not of off password place protocol refusals "
    "request response to too where with without argument arguments TLS HTTP PROXY"
)
VOCABULARY = {
    *_ENGLISH.split(),
    *(word.decode() for word in WORDS | FOREIGN),
    *(verb.value.decode() for verb in SieveVerb),
    *(name.sasl for name in METHOD_NAMES.values()),
}


@given(protocol=st.sampled_from(["imap", "pop3", "smtp", "sieve"]), said=st.binary(min_size=1, max_size=80))
@example("imap", b"a hunter2 hunter2")
@example("smtp", b"AUTH hunter2")
def test_every_word_of_a_line_is_ours(protocol: str, said: bytes) -> None:
    lines = refused(protocol, said, {"auth": OAUTH}).refused
    assert {word for line in lines for word in line.replace(";", "").split()} <= VOCABULARY


ASK = {"imap": b"a CAPABILITY", "pop3": b"CAPA", "smtp": b"EHLO client.example"}
LEAVE = {"imap": b"a LOGOUT", "pop3": b"QUIT", "smtp": b"QUIT"}


@pytest.mark.parametrize("leave", [{}, LEAVE], ids=["without a word", "with a word"])
@all_protocols
def test_a_client_that_asks_for_capabilities_and_leaves_is_logged(case: Case, leave: dict[str, bytes]) -> None:
    said = ASK[case.protocol] + b"\r\n" + leave.get(case.protocol, ASK[case.protocol])
    assert refused(case.protocol, said).left == ["client left without a login"]
    assert refused(case.protocol, said, ON).left == ["client left without a login"]
    assert refused(case.protocol, said, ONLY).left == ["client left without a login, which needs TLS"]
    begun = refused(case.protocol, STARTTLS[case.protocol], ONLY, in_tls=said + b"\r\n")
    assert begun.left == ["client left without a login"]


@pytest.mark.parametrize("said", [b"AUTH NTLM\r\nQUIT", b"MAIL FROM:<a@b>\r\nQUIT", b"X"])
def test_a_client_that_leaves_after_a_refusal_adds_no_further_line(said: bytes) -> None:
    assert refused("smtp", said).left == []


@pytest.mark.parametrize("leave", [{}, {**LEAVE, "sieve": b"LOGOUT"}], ids=["without a word", "with a word"])
@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_a_health_check_that_only_leaves_adds_no_line(case: Case, leave: dict[str, bytes]) -> None:
    said = leave.get(case.protocol, b"") + b"\r\n" if leave else b""
    outcome = converse(server_of(case.protocol, {}), MemoryStream(said))
    assert (outcome.log, outcome.refused, outcome.left) == ([], [], [])
