"""Which of the named differences makes two transcripts part.

A rule sees no more than the place where they do: everything before is equal, and what follows depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.oracle.case import Case, Send
from tests.oracle.configuration import SERVERS
from tests.oracle.divergence import Divergence

Rule = Callable[[Case, Divergence], bool]

INVALID = re.compile(r"client < (?:\S* BAD|-ERR|500 5\.5\.1) [Ii]nvalid command\\r\\n")
_PROMPT = re.compile(r"client < (?:\+|334) ")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_SUCCESS = re.compile(rb"HTTP/[0-9.]+ +2[0-9][0-9](?: [^\r\n]*)?\r?\n")
_OTHER = re.compile(rb"HTTP/[0-9.]+ +[1345][0-9][0-9](?: [^\r\n]*)?\r?\n")
_REFUSAL = re.compile(rb"\nAuth-Status: *(?!OK *\r?\n)[^ \r\n]", re.IGNORECASE)
_EMPTY = re.compile(rb"\nAuth-Status(?:: *)?\r?\n", re.IGNORECASE)
_CLEAR = re.compile(rb"\nAuth-Status:[^\r\n]*[^ \r\n]", re.IGNORECASE)
# Bytes of the buffers of nginx that the random dialogues can fill.
_SMALL = 128

_QUOTE = re.compile(r'(?:^|[ \n])"')
_EXTERNAL = re.compile(r"\bEXTERNAL +[^ \r\n]", re.IGNORECASE)
_UNASKED = re.compile(r"\{[0-9]*\+\}\r*\n")
_LITERAL = re.compile(r"\{[0-9]*\+?\}\r*\n")
# The last that was said: a response to a challenge, and more than one plain word.
_RESPONSE_OF_WORDS = re.compile(r'client < \+ (?!OK)[^ \n]*\\r\\n\nclient > [^\n]*["{ ][^\n]*\Z')
_REFUSAL_OF_A_BACKEND = re.compile(r"client < (?:\* BYE|\S+ (?:NO|BAD)|-ERR|[45][0-9][0-9])\b", re.IGNORECASE)
_EMPTY_LITERAL = re.compile(r"\{0*\+?\}\r?\n")


def explain(case: Case, at: Divergence) -> str | None:
    """The name of the difference that the transcripts of `case` part by; None for a fault of mailworker's."""
    return next((name for name, rule in RULES.items() if rule(case, at)), None)


def _sent(case: Case) -> str:
    """All that the client was to send."""
    return b"".join(step.data for step in case.client if isinstance(step, Send)).decode("latin-1")


def _invalid(line: str) -> bool:
    return bool(INVALID.fullmatch(line))


def _unread(at: Divergence) -> str:
    """What the client has sent since it was last answered with more than a prompt or a refusal."""
    unread = ""
    for line in reversed(at.common):
        if line.startswith("client > "):
            unread = line.removeprefix("client > ").encode().decode("unicode_escape") + unread
        elif line.startswith("client < ") and not (_PROMPT.match(line) or _invalid(line)):
            break
    return unread


def _moment(at: Divergence) -> list[str]:
    """What happened since the client said something."""
    lines = list(at.common)
    last = max((number for number, line in enumerate(lines) if line.startswith("client > ")), default=0)
    return lines[last:]


def _full_buffer(at: Divergence) -> bool:
    """Whether nginx refuses, closes or stalls."""
    stalls = at.theirs.startswith("client > ") and at.ours.startswith("client < ")
    return _invalid(at.theirs) or at.theirs == "client = closed" or "too long command" in at.theirs or stalls


def _response_buffer(case: Case, at: Divergence) -> bool:
    """Also where nginx counts pipelined commands that it has answered."""
    return "small" in case.server and len(_unread(at)) >= _SMALL and _full_buffer(at)


def _pipelining(case: Case, at: Divergence) -> bool:
    """Answered commands take room of nginx's buffer as long as others are behind them."""
    narrow = case.protocol == "pop3" or "small" in case.server
    return narrow and len(at.said) > _SMALL and _full_buffer(at)


def _external_disabled(case: Case, at: Divergence) -> bool:
    if "external" in SERVERS[case.server].directives:
        return False
    return "in AUTH EXTERNAL command" in at.theirs or (bool(_EXTERNAL.search(_unread(at))) and _invalid(at.ours))


def _stale_login(case: Case, at: Divergence) -> bool:
    empty = at.ours in ("auth < Auth-User: \\r\\n", "auth < Auth-Pass: \\r\\n")
    return empty and any(line == "auth < Auth-Method: none\\r\\n" for line in at.common[-2:])


def _literal_separator(case: Case, at: Divergence) -> bool:
    refused = _invalid(at.ours) or at.ours == "client = closed"
    return case.protocol == "imap" and bool(_LITERAL.search(_sent(case))) and refused


def _unasked_literal(case: Case, at: Divergence) -> bool:
    refused = at.theirs == "client = closed" or _invalid(at.theirs)
    return case.protocol == "imap" and bool(_UNASKED.search(_sent(case))) and refused


def _id_before_login(case: Case, at: Divergence) -> bool:
    told = at.ours.startswith("log [info] client sent ID: ")
    return told or (at.ours in ("client < * ID NIL\\r\\n", "client < + OK\\r\\n") and _invalid(at.theirs))


def _untagged_refusal(case: Case, at: Divergence) -> bool:
    """The tag that nginx has forgotten is a star, or nothing at all."""
    untagged = ("client < * BAD invalid command\\r\\n", "client < BAD invalid command\\r\\n")
    return at.theirs in untagged and _invalid(at.ours)


def _refused_mail(case: Case, at: Divergence) -> bool:
    start = 'log [info] client was rejected: "'
    if at.theirs.startswith(start) and at.ours.startswith(start):
        return at.ours.removeprefix(start).partition('"')[0] in at.theirs
    return any(line == "client < 530 5.7.1 Authentication required\\r\\n" for line in at.common)


def _bytes_for_no_backend(case: Case, at: Divergence) -> bool:
    """The auth service has accepted them, and the backend waits."""
    return _invalid(at.ours) and "backend = connected" in _moment(at)


def _untagged(case: Case, at: Divergence) -> bool:
    lines = [answer for answer in case.backend[1:] if isinstance(answer, bytes)]
    connected = "backend = connected" in _moment(at)
    return case.protocol == "imap" and connected and any(line.startswith(b"* ") for line in lines)


def _fails_closed(case: Case, at: Divergence) -> bool:
    """Where there is no clear yes or no."""
    answers = [answer for answer in case.auth if isinstance(answer, bytes)]
    unclear = any(not _is_clear(answer) for answer in answers)
    refused = _internal_error(at.ours) or "sent invalid response" in at.ours or "did not send status" in at.ours
    return unclear and refused


def _is_clear(answer: bytes) -> bool:
    said = _CLEAR if _SUCCESS.match(answer) else _REFUSAL
    status = _SUCCESS.match(answer) or _OTHER.match(answer)
    return bool(status and said.search(answer) and not _EMPTY.search(answer))


def _code_of_success(case: Case, at: Divergence) -> bool:
    start = "client < 535 5.7.0 "
    return at.ours.startswith(start) and at.theirs.endswith(at.ours.removeprefix(start))


def _no_refusal(case: Case, at: Divergence) -> bool:
    frank = "proxy_pass_error_message on" in SERVERS[case.server].directives
    quoted = at.theirs.startswith("client < ") and not _REFUSAL_OF_A_BACKEND.match(at.theirs)
    return frank and quoted and _internal_error(at.ours)


def _header_in_pieces(case: Case, at: Divergence) -> bool:
    waits = at.theirs == "client = closed" and at.ours.startswith("client > ")
    return _takes_header(case) and waits and at.common[-1].startswith("client > ")


def _takes_header(case: Case) -> bool:
    return "proxy_protocol" in SERVERS[case.server].listen


def _internal_error(line: str) -> bool:
    return line.lower().endswith("internal server error\\r\\n")


def _password_in_log(case: Case, at: Divergence) -> bool:
    starts = (
        "log [info] client sent too long command ",
        "log [info] client was rejected before greeting",
        "log [error] broken header: ",
    )
    nameless = "invalid CRAM-MD5 hash" in at.ours and ", login: " not in at.ours
    cut = '..."' in at.ours.rpartition(', login: "')[2] and bool(re.search(r', login: "[^"]*[\0\1]', at.theirs))
    return (at.theirs.startswith(starts) and at.ours.startswith(starts)) or nameless or cut


def _control_bytes_in_smtp(case: Case, at: Divergence) -> bool:
    refused = at.ours == "client < 501 5.5.4 Invalid argument\\r\\n"
    return refused and any((char < " " and char not in "\r\n") or char == "\x7f" for char in _unread(at))


def _xclient_xtext(case: Case, at: Divergence) -> bool:
    start = "backend < XCLIENT "
    plain = _XTEXT.sub(lambda match: repr(bytes([int(match[1], 16)]))[2:-1], at.ours)
    return at.ours.startswith(start) and at.theirs.startswith(start) and at.theirs == plain


def _short_reply(case: Case, at: Divergence) -> bool:
    """nginx waits, and mailworker goes on or gives up."""
    short = any(isinstance(answer, bytes) and len(answer) < 4 and answer.endswith(b"\r\n") for answer in case.backend)
    waits = not at.theirs.startswith(("backend < ", "client < ", "client = closed"))
    return short and waits and any(line == "backend = connected" for line in at.common)


def _xclient_guard(case: Case, at: Divergence) -> bool:
    """nginx goes on, or mailworker says EHLO first, or logs a line more."""
    if "xclient off" not in SERVERS[case.server].directives:
        return False
    return (
        at.ours == "client < 421 4.3.5 Service not available\\r\\n"
        or (at.ours == "backend < EHLO proxy.test\\r\\n" and at.theirs == "backend < HELO proxy.test\\r\\n")
        or at.ours.startswith("log [warn] upstream takes XCLIENT ")
    )


def _ehlo_before_auth(case: Case, at: Divergence) -> bool:
    by_auth = "proxy_smtp_auth on" in SERVERS[case.server].directives
    return (
        by_auth
        and at.ours.startswith("backend < EHLO ")
        and at.theirs.startswith(("backend < HELO ", "backend < AUTH "))
    )


def _space_before_password(case: Case, at: Divergence) -> bool:
    start = "auth < Auth-Pass: "
    spaced = at.ours.startswith(f"{start}%20")
    return case.protocol == "pop3" and spaced and re.sub("(?<=: )(?:%20)+", "", at.ours, count=1) == at.theirs


def _helo_of_words(case: Case, at: Divergence) -> bool:
    words = re.match(r"client > (?:HELO|EHLO) +[^ ]+ +[^ \\]", at.said, re.IGNORECASE)
    return bool(words) and at.theirs == "client < 501 5.5.4 Invalid argument\\r\\n"


RULES: Mapping[str, Rule] = {
    "xclient-guard": _xclient_guard,
    "ehlo-before-auth": _ehlo_before_auth,
    "short-reply": _short_reply,
    "octets-obeyed": lambda case, at: case.protocol == "smtp" and "BDAT" in _unread(at).upper(),
    "space-before-password": _space_before_password,
    "helo-of-words": _helo_of_words,
    "pop3-buffer": lambda case, at: case.protocol == "pop3" and len(_unread(at)) >= _SMALL and _full_buffer(at),
    "response-buffer": _response_buffer,
    "pipelining": _pipelining,
    "external-disabled": _external_disabled,
    "refused-user": lambda case, at: at.ours == "backend < CAPA\\r\\n" and at.common[-1].startswith("backend < USER "),
    "another-identity": lambda case, at: at.ours.endswith("Authorization identity is not allowed\\r\\n"),
    "stale-password": lambda case, at: (
        at.ours == "auth < Auth-Pass: \\r\\n" and at.common[-2] == "auth < Auth-Method: external\\r\\n"
    ),
    "stale-login": _stale_login,
    "salt-with-external": lambda case, at: (
        at.theirs == "auth < Auth-Salt: <SALT>\\r\\n" and "auth < Auth-Method: external\\r\\n" in at.common[-3:]
    ),
    "half-close": lambda case, at: (
        at.common[-1] == "client = end" and any(line == "backend = connected" for line in at.common)
    ),
    "id-before-login": _id_before_login,
    "empty-sasl": lambda case, at: at.theirs == "client < SASL\\r\\n",
    "bye-text": lambda case, at: at.ours == "client < * BYE Logging out\\r\\n",
    "wide-tags": lambda case, at: case.protocol == "imap" and at.theirs == "client < * BAD invalid command\\r\\n",
    "unasked-literal": _unasked_literal,
    "literal-separator": _literal_separator,
    "empty-literal": lambda case, at: case.protocol == "imap" and bool(_EMPTY_LITERAL.search(_sent(case))),
    "quote-leaks": lambda case, at: case.protocol == "imap" and bool(_QUOTE.search(_sent(case))),
    "stale-tag": lambda case, at: (
        at.ours == "client < * BAD invalid command\\r\\n" and at.theirs.endswith("BAD invalid command\\r\\n")
    ),
    "untagged-refusal": _untagged_refusal,
    "response-arguments": lambda case, at: (
        case.protocol == "imap" and bool(_RESPONSE_OF_WORDS.search("\n".join(at.common)))
    ),
    "empty-tag": lambda case, at: at.ours == "client <  BAD invalid command\\r\\n",
    "refused-mail": _refused_mail,
    "nul-in-login": _bytes_for_no_backend,
    "command-injection": _bytes_for_no_backend,
    "untagged-before-ok": _untagged,
    "verdict-fails-closed": _fails_closed,
    "code-of-success": _code_of_success,
    "no-refusal": _no_refusal,
    "header-in-pieces": _header_in_pieces,
    "small-header": lambda case, at: not at.theirs and "header is too small" in at.ours,
    "large-proxy-header": lambda case, at: _takes_header(case) and "header is too large" in at.theirs,
    "command-behind-header": lambda case, at: (
        _takes_header(case) and at.theirs.startswith("client > ") and at.ours.startswith("client < ")
    ),
    "mixed-families": lambda case, at: at.ours.startswith("backend < PROXY TCP6 ") and "::ffff:" in at.ours,
    "password-in-log": _password_in_log,
    "control-bytes-in-smtp": _control_bytes_in_smtp,
    "del-in-login": lambda case, at: at.ours.startswith("auth < Auth-") and "%7F" in at.ours,
    "xclient-xtext": _xclient_xtext,
    "unlisted-xclient": lambda case, at: (
        at.theirs.startswith("backend < XCLIENT ") or at.ours.startswith("log [warn] upstream lists no LOGIN ")
    ),
}
