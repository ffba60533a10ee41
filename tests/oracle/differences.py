"""Where mailworker differs from nginx on purpose. `python -m tests.oracle.differences` prints docs/differences.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """The chapters of the document."""

    SAFER = "Safer"
    SOUNDER = "Sounder"
    NEWER = "As in a newer nginx"
    LOG = "In the error log only"


_INTRODUCTIONS = {
    Why.SAFER: "nginx lets somebody in, or lets bytes through, that should stay out.",
    Why.SOUNDER: "nginx stalls, loses bytes or refuses what is correct.",
    Why.NEWER: "mailworker follows nginx 1.31.5 where it differs from 1.22.1, Debian's, with which the tests compare.",
    Why.LOG: "What is logged, or how; no peer can tell the difference.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One named difference; `parts` are those of a transcript in which it may show, all others are equal."""

    why: Why
    nginx: str
    mailworker: str
    reason: str
    parts: tuple[str, ...] = ("client", "auth", "backend", "log")


_LOG = ("log",)

TABLE: Mapping[str, Entry] = {
    "external-disabled": Entry(
        Why.SAFER,
        "takes `AUTH EXTERNAL` with an initial response though `external` is not enabled",
        "refuses it as it does without an initial response",
        "anybody could claim any name before an auth service that trusts Auth-Method: external",
    ),
    "stale-password": Entry(
        Why.SAFER,
        "sends the password of an earlier, failed attempt in Auth-Pass of EXTERNAL",
        "sends an empty Auth-Pass",
        "a secret goes where it does not belong, and may be taken for a valid one",
    ),
    "plain-rfc4616": Entry(
        Why.SAFER,
        "takes an empty user name, or NUL in the password, in AUTH PLAIN",
        "refuses both",
        "RFC 4616 allows neither; NUL ends strings in many backends",
    ),
    "command-injection": Entry(
        Why.SAFER,
        "passes CR LF in a login or password on to a POP3 backend, which reads commands behind it",
        "answers `-ERR invalid command`; neither goes to the backend",
        "any user could send commands to the backend, unseen by the auth service",
    ),
    "nul-in-login": Entry(
        Why.SAFER,
        "passes NUL in a login or password on to the backend",
        "answers that the command is invalid",
        "RFC 9051 and RFC 1939 have no NUL in strings; what a backend sees may be another name",
    ),
    "control-bytes-in-smtp": Entry(
        Why.SAFER,
        "passes NUL and other control bytes in HELO, EHLO, MAIL and RCPT on to the auth service and the backend",
        "answers `501 5.5.4 Invalid argument`",
        "RFC 5321 has none; NUL would cut a header of the auth request short, others end up on terminals and in logs",
    ),
    "envelope-in-clear": Entry(
        Why.SAFER,
        "takes MAIL and RCPT in clear with `starttls only` and `smtp_auth none`, and relays",
        "answers `530 5.7.1 Authentication required` before TLS",
        "`only` means that nothing is done in clear",
    ),
    "verdict-fails-closed": Entry(
        Why.SAFER,
        "lets the client in after a status other than 2xx, without a status line, without Auth-Status, "
        "and in SMTP with an empty one",
        "answers with an internal error, and names the auth service in the log",
        "a broken auth service must not open the door",
    ),
    "code-of-success": Entry(
        Why.SAFER,
        "sends any Auth-Error-Code, even `235`, to a client that is refused",
        "sends `535 5.7.0` unless the code is 4xx or 5xx",
        "the client would believe that it is logged in",
    ),
    "nul-from-service": Entry(
        Why.SAFER,
        "passes NUL in Auth-User and Auth-Pass on to the backend",
        "answers with an internal error",
        "as for NUL in a login",
    ),
    "control-bytes-in-refusal": Entry(
        Why.SAFER,
        "sends control bytes in Auth-Status to the client",
        "sends spaces instead",
        "the text ends up on terminals and in logs",
    ),
    "quote-leaks": Entry(
        Why.SOUNDER,
        "remembers a quoted string that does not end, so that the next command is misread",
        "begins every command anew",
        "one wrong command must not break the ones behind it",
    ),
    "empty-tag": Entry(
        Why.SOUNDER,
        "obeys an IMAP command that begins with a space instead of a tag",
        "answers ` BAD invalid command`",
        "RFC 9051, 2.2.1: every command has a tag",
    ),
    "empty-literal": Entry(
        Why.SOUNDER,
        "takes the byte behind `{0}` as the literal, so an empty password becomes CR",
        "reads an empty string",
        "RFC 9051, 4.3",
    ),
    "del-in-login": Entry(
        Why.SOUNDER,
        "sends DEL in Auth-User and Auth-Pass as it is",
        "sends `%7F`",
        "no HTTP header may hold it: strict services refuse the whole request (RFC 9110, 5.5)",
    ),
    "too-large-literal": Entry(
        Why.SOUNDER,
        "asks with `+ OK` for a literal that does not fit `imap_client_buffer`, and gives up when the buffer is full",
        "answers `BAD` at once; the session goes on",
        "the client learns it before it sends",
    ),
    "untagged-refusal": Entry(
        Why.SOUNDER,
        "refuses a bad user name in AUTHENTICATE LOGIN with the tag `*`",
        "refuses it with the command's tag",
        "RFC 9051, 7.1: the client waits for its tag",
    ),
    "stale-tag": Entry(
        Why.SOUNDER,
        "answers a line with a bad tag after a failed login with that line's first bytes",
        "answers with `*`",
        "what the client sent must not be reflected",
    ),
    "response-buffer": Entry(
        Why.SOUNDER,
        "lets AUTHENTICATE and all its responses share one `imap_client_buffer`",
        "gives each line the whole buffer",
        "long tokens are refused for no reason",
    ),
    "pop3-buffer": Entry(
        Why.SOUNDER,
        "has a fixed buffer of 128 bytes for POP3 commands",
        "has one page",
        "RFC 2449 allows commands of 255 octets, RFC 5034 AUTH of 12288; long passwords exist",
    ),
    "pipelining": Entry(
        Why.SOUNDER,
        "takes pipelined commands that add up to more than its buffer for one command that is too long",
        "needs room for one command only",
        "RFC 2449, 6.8 and RFC 2920 set no such limit",
    ),
    "refused-mail": Entry(
        Why.SOUNDER,
        "destroys the commands pipelined behind a MAIL that it refuses, depending on the log's level",
        "answers them all",
        "RFC 2920, 3.1",
    ),
    "large-response": Entry(
        Why.SOUNDER,
        "takes at most 1024 bytes of an auth response's header, and waits for `auth_http_timeout` when there are more",
        "takes 8192, and says when there are more",
        "a long error text should not look like a dead service",
    ),
    "unix-backend": Entry(
        Why.SOUNDER,
        "refuses `unix:/path` in Auth-Server",
        "connects to it, without Auth-Port",
        "a backend on the same machine needs no port",
    ),
    "half-close": Entry(
        Why.SOUNDER,
        "closes both sides when the client has ended its output, and loses the backend's answer",
        "passes the answer on, then closes",
        "pipelining clients may end behind their last command",
    ),
    "mixed-families": Entry(
        Why.SOUNDER,
        "writes an IPv6 and an IPv4 address into one `PROXY TCP6` line to the backend",
        "writes the IPv4 one v4-mapped",
        "the PROXY protocol wants one family; backends refuse the line",
    ),
    "command-behind-header": Entry(
        Why.SOUNDER,
        "does not read a command that came in one packet with the PROXY header until more comes (IMAP, POP3)",
        "reads it after the greeting",
        "the client waits for an answer",
    ),
    "literal-separator": Entry(
        Why.NEWER,
        "takes any byte for the space behind a literal",
        "takes space, CR and LF only",
        "since 1.29.7",
    ),
    "literal-overflow": Entry(
        Why.NEWER,
        "lets a literal's length overflow",
        "answers `BAD`",
        "since 1.29.7",
    ),
    "untagged-before-ok": Entry(
        Why.NEWER,
        "refuses an IMAP backend that sends an untagged line before `OK` to the login",
        "passes the lines on",
        "since 1.27.3 one line is taken, by mailworker any number but for BYE",
    ),
    "xclient-xtext": Entry(
        Why.NEWER,
        "sends a login raw in XCLIENT, so it may add attributes and commands",
        "sends it in xtext",
        "since 1.29.2",
    ),
    "salt-with-external": Entry(
        Why.NEWER,
        "sends Auth-Salt with EXTERNAL if the POP3 greeting had a salt",
        "sends it with APOP and CRAM-MD5 only",
        "as 1.31.5",
        ("auth",),
    ),
    "large-proxy-header": Entry(
        Why.NEWER,
        "takes PROXY headers of at most 107 bytes",
        "takes 4096, as 1.31.5, and waits for all of them",
        "version 2 with its TLVs is longer",
    ),
    "upstream-without-login": Entry(
        Why.NEWER,
        "leaves the upstream out of log lines without a login",
        "names it",
        "as 1.31.5",
        _LOG,
    ),
    "broken-header": Entry(
        Why.NEWER,
        "logs a broken PROXY header with its line end and all that follows",
        "logs it up to the line end",
        "as 1.31.5",
        _LOG,
    ),
    "log-escaping": Entry(
        Why.LOG,
        "logs what peers send as it came, so that one can forge lines and send codes to terminals",
        r'writes what cannot be printed, `\`, `"` and bytes that are no UTF-8 as `\xXX`',
        "CVE-2009-4487",
        _LOG,
    ),
    "capped-value": Entry(
        Why.LOG,
        "fills a whole record with what a peer has sent, and so leaves out whose session it was",
        "cuts a long value short",
        "every record should say where it belongs",
        _LOG,
    ),
    "password-in-log": Entry(
        Why.LOG,
        "logs a command that is too long, or comes before the greeting, with the password that is in it",
        "logs it up to the word that a login or password follows",
        "a log is read by people who need no passwords",
        _LOG,
    ),
    "closed-without-a-word": Entry(
        Why.LOG,
        "logs nothing when the auth service or the backend closes the connection too early",
        "logs `prematurely closed connection`",
        "the log should say who was at fault",
        _LOG,
    ),
    "handshake-timeout": Entry(
        Why.LOG,
        "counts `timeout` anew for and behind a handshake and a PROXY header; behind STARTTLS it logs nothing",
        "counts it once, from the first byte to the login, and logs `client timed out`",
        "a client shall not hold a connection for several times `timeout`; the log should say why it was sent away",
        _LOG,
    ),
    "too-long-reply": Entry(
        Why.LOG,
        "logs a backend's too long line without its last byte",
        "logs all that fits `proxy_buffer`",
        "an oversight of nginx",
        _LOG,
    ),
    "port-as-text": Entry(
        Why.LOG,
        "logs a backend's port as the auth service wrote it, `0143`",
        "logs the number",
        "the number is what is connected to",
        _LOG,
    ),
}


def document(table: Mapping[str, Entry] = TABLE) -> str:
    """docs/differences.md."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Mapping[str, Entry]) -> Iterable[str]:
    yield "# Where mailworker differs from nginx"
    yield ""
    yield "Each dialogue of `tests/oracle/` is played against a real nginx and against mailworker. What clients, auth"
    yield "services and backends see is the same byte for byte, and the error log line by line, but for what is listed."
    yield "Every difference has a name, and a dialogue that shows it. This page is made from the table in"
    yield "`tests/oracle/differences.py`."
    for why in Why:
        yield ""
        yield f"## {why.value}"
        yield ""
        yield _INTRODUCTIONS[why]
        yield ""
        yield "| Name | nginx 1.22.1 | mailworker | Why |"
        yield "|---|---|---|---|"
        for name, entry in table.items():
            if entry.why is why:
                yield f"| {name} | {entry.nginx} | {entry.mailworker} | {entry.reason} |"
    yield ""
    yield "## TLS"
    yield ""
    yield "Versions by default, sessions and ticket keys: see [TLS](tls.md#where-tls-differs-from-nginx)."


if __name__ == "__main__":
    print(document(), end="")
