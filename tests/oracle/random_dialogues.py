"""Dialogues at random: what clients say in every state, right and wrong, and what services answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from tests.oracle.case import Act, Answer, Case, Send, Step, base64

Texts = st.SearchStrategy[str]

# What a stage with nobody to wait for can play.
SERVERS = {
    "imap": "imap imap-every imap-starttls imap-only imap-tls imap-strict imap-frank imap-small imap-external",
    "pop3": "pop3 pop3-every pop3-starttls pop3-only pop3-tls pop3-strict pop3-frank pop3-apop pop3-capable",
    "smtp": "smtp smtp-every smtp-starttls smtp-only smtp-tls smtp-strict smtp-frank smtp-small smtp-bare smtp-none "
    "smtp-nonestarttls smtp-direct smtp-directnone smtp-login smtp-directlogin smtp-narrow",
}
STARTTLS = {"imap": "a STARTTLS", "pop3": "STLS", "smtp": "STARTTLS"}
VERBS = {
    "imap": "NOOP CAPABILITY LOGIN LOGOUT AUTHENTICATE STARTTLS SELECT X NOO NOOPS ID",
    "pop3": "NOOP CAPA USER PASS APOP AUTH STLS QUIT STAT RETR X RSET TOP USE",
    "smtp": "NOOP EHLO HELO AUTH MAIL RCPT RSET QUIT STARTTLS HELP VRFY EXPN DATA X BDAT",
}

WORDS = """
user pass a@b.test us%er x a+b=c {} {3} {x} {3 { } " \\ us"er "a "a" * = + 0123456789abcdef0123456789abcdef
"""
LONG = ("x" * 30, "y" * 30)


def rarely(times: int) -> st.SearchStrategy[bool]:
    """True once in so many times; not at an end, which Hypothesis is fond of."""
    return st.integers(1, times).map(lambda number: number == times // 2 + 1)


def _weighted(*rows: tuple[int, Texts]) -> Texts:
    """By weight."""
    return st.one_of([strategy for weight, strategy in rows for _ in range(weight)])


_word = _weighted(
    (6, st.sampled_from(["user", "pass", "u", "p"])),
    (3, st.sampled_from(WORDS.split())),
    (1, st.sampled_from(LONG)),
    (1, st.text('abAB01%\\"{}()*+-=._@ \t\xe9', min_size=1, max_size=12)),
)
_space = _weighted((8, st.just(" ")), (1, st.just("  ")), (1, st.just("")))
_end = _weighted(
    (20, st.just("\r\n")), (1, st.just("\n")), (1, st.just(" \r\n")), (1, st.just("\r")), (1, st.just("\r\r\n"))
)
_case: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str, str, str.lower, str.title])


@st.composite
def _verb(draw: st.DrawFn, protocol: str) -> str:
    return draw(_case)(draw(st.sampled_from(VERBS[protocol].split())))


_tag = _weighted(
    (12, st.sampled_from(["a", "b", "c1", "A.-_09"])),
    (1, st.sampled_from(["!", "*", "+", "a" * 32, "a" * 33, "a\t", "\x00"])),
)


@st.composite
def _string(draw: st.DrawFn) -> list[str]:
    """An IMAP string in pieces, where a client may wait."""
    text = draw(_word)
    kind = draw(st.sampled_from(["atom", "atom", "quoted", "literal", "plus", "wrong"]))
    if kind == "quoted":
        return ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"']
    if kind == "literal":
        return [f"{{{len(text)}}}\r\n", text]
    if kind == "plus":
        return [f"{{{len(text)}+}}\r\n" + text]
    if kind == "wrong":
        return [f"{{{draw(st.integers(0, 20))}}}\r\n", text]
    return [text]


@st.composite
def _imap_command(draw: st.DrawFn) -> list[str]:
    pieces = [draw(_tag) + draw(_space) + draw(_verb("imap"))]
    for string in draw(st.lists(_string(), max_size=4)):
        first, *rest = string
        pieces[-1] += draw(_space) + first
        pieces += rest
    pieces[-1] += draw(_end)
    return pieces


@st.composite
def _imap_login(draw: st.DrawFn) -> list[str]:
    pieces = [draw(_tag) + " LOGIN"]
    for string in draw(st.lists(_string(), min_size=2, max_size=2)):
        first, *rest = string
        pieces[-1] += " " + first
        pieces += rest
    pieces[-1] += draw(_end)
    return pieces


@st.composite
def _words_command(draw: st.DrawFn, protocol: str) -> list[str]:
    text = draw(_verb(protocol))
    for word in draw(st.lists(_word, max_size=3 if protocol == "pop3" else 2)):
        text += draw(_space) + word
    return [text + draw(_end)]


@st.composite
def _pop3_login(draw: st.DrawFn) -> list[str]:
    return [f"USER {draw(_word)}{draw(_end)}", f"PASS {draw(_word)}{draw(_end)}"]


@st.composite
def _smtp_envelope(draw: st.DrawFn) -> list[str]:
    hello = draw(st.sampled_from(["", "EHLO client.test\r\n", "HELO client.test\r\n", "EHLO a b\r\n", "HELO\r\n"]))
    pieces = [hello] if hello else []
    pieces.append(f"MAIL FROM:<{draw(_word)}>{draw(_space)}{draw(_word)}{draw(_end)}")
    pieces += [f"RCPT TO:<{draw(_word)}>{draw(_end)}" for _ in range(draw(st.integers(1, 2)))]
    return pieces


_nul = _weighted((20, st.just("\0")), (1, st.just("")))
_plain = st.tuples(st.sampled_from(["", "", "admin"]), _nul, _word, _nul, _word).map("".join).map(base64)
_response = _weighted(
    (8, _plain),
    (4, _word.map(base64)),
    (2, _word.map(lambda word: base64(f"{word} 0123456789abcdef0123456789abcdef"))),
    (
        3,
        st.sampled_from(["", "=", "*", "!!!!", "AAAAA", "AHUAcA", "AHUAcA==x", "AHUAcA== x", "x y z a b", " AHUAcA=="]),
    ),
    (1, st.text("ABCab01+/= ", max_size=9)),
)
_mechanism = st.sampled_from(
    [*("PLAIN", "LOGIN", "PLAIN", "LOGIN", "CRAM-MD5", "CRAM-MD5"), *("EXTERNAL", "plain", "Login", "PLAINS", "GSSAPI")]
)


@st.composite
def _sasl(draw: st.DrawFn, protocol: str) -> list[str]:
    start = draw(_tag) + " AUTHENTICATE" if protocol == "imap" else "AUTH"
    mechanism = draw(_mechanism)
    initial = draw(_weighted((2, st.just("")), (1, _response.map(lambda text: f" {text}"))))
    count = draw(st.integers(0, 2 if mechanism.upper() == "LOGIN" else 1))
    return [f"{start} {mechanism}{initial}{draw(_end)}", *(draw(_response) + draw(_end) for _ in range(count))]


@st.composite
def _good_sasl(draw: st.DrawFn, protocol: str) -> list[str]:
    start = "a AUTHENTICATE" if protocol == "imap" else "AUTH"
    plain, user, password = draw(_plain), base64(draw(_word)), base64(draw(_word))
    return draw(
        st.sampled_from(
            [
                [f"{start} PLAIN {plain}\r\n"],
                [f"{start} PLAIN\r\n", f"{plain}\r\n"],
                [f"{start} LOGIN\r\n", f"{user}\r\n", f"{password}\r\n"],
                [f"{start} LOGIN {user}\r\n", f"{password}\r\n"],
            ]
        )
    )


def _commands(protocol: str) -> st.SearchStrategy[list[str]]:
    any_command = _imap_command() if protocol == "imap" else _words_command(protocol)
    login = {"imap": _imap_login(), "pop3": _pop3_login(), "smtp": _smtp_envelope()}[protocol]
    garbage = st.text('\0\x01\r\n "\\{}aA1\xff', max_size=20).map(lambda text: [text])
    return st.one_of(
        any_command, any_command, any_command, login, login, _sasl(protocol), _good_sasl(protocol), garbage
    )


@st.composite
def _chunks(draw: st.DrawFn, pieces: Sequence[str]) -> list[Step]:
    """The pieces as they are sent: some at once, some cut."""
    chunks: list[str] = []
    for piece in pieces:
        if draw(rarely(5)) and chunks:
            chunks[-1] += piece
        else:
            chunks.append(piece)
    steps: list[Step] = []
    for chunk in chunks:
        data = chunk.encode("latin-1")
        if len(data) > 1 and draw(rarely(6)):
            cut = draw(st.integers(1, len(data) - 1))
            steps += [Send(data[:cut]), Send(data[cut:])]
        elif data:
            steps.append(Send(data))
    return steps


@st.composite
def _client(draw: st.DrawFn, protocol: str) -> list[Step]:
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 3))):
        commands: list[list[str]] = draw(st.lists(_commands(protocol), max_size=3))
        pieces = [piece for command in commands for piece in command]
        steps += draw(_chunks(pieces))
        if draw(rarely(4)):
            behind = draw(st.sampled_from(["", "", "b NOOP\r\n", "x"]))
            steps += [Send(f"{STARTTLS[protocol]}\r\n{behind}".encode()), Act.SHAKE_HANDS]
    if draw(rarely(10)):
        steps.append(Act.END)
    return steps


_STATUS = ["Auth-Status: OK"] * 6 + ["Auth-Status: No", "Auth-Status: Invalid login or password", "Auth-Status: ok"]
_ADDRESS = [["Auth-Server: $server", "Auth-Port: $port"]] * 8 + [
    ["Auth-Server: $server", "Auth-Port: $closed"],
    ["Auth-Server: $server"],
    ["Auth-Port: $port"],
    ["Auth-Server: localhost", "Auth-Port: $port"],
    ["Auth-Server: $server", "Auth-Port: 65536"],
    ["auth-server:$server", "AUTH-PORT:   $port  "],
]
_MORE = (
    "Auth-User: other",
    "Auth-Pass: secret",
    "Auth-Pass: two words",
    "Auth-User:",
    "Auth-Pass:",
    "Auth-Wait: 0",
    "Auth-Wait: soon",
    "Auth-Wait: -1",
    "Auth-Error-Code: 454 4.7.0",
    "X-Other: y",
    "No-Colon",
    "Auth-Method: plain",
    "Auth_Status: OK",
    "bad header: x",
    "Auth-Status: OK",
)


@st.composite
def _verdict(draw: st.DrawFn) -> Answer:
    lines = [draw(st.sampled_from(_STATUS)), *draw(st.sampled_from(_ADDRESS))]
    lines += draw(st.lists(st.sampled_from(_MORE), max_size=2))
    if draw(rarely(4)):
        lines = draw(st.permutations(lines))
    if draw(rarely(31)):
        lines.append("Auth-Wait: 1")
    end = draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"]))
    status = draw(st.sampled_from(["HTTP/1.0 200 OK", "HTTP/1.1 204", "HTTP/1.0 200 Fine, thanks"]))
    return (end.join([status, *lines, ""]) + end + draw(st.sampled_from(["", "body"]))).encode()


_REPLIES = {
    "imap": "* OK hello|* OK|* BYE no|* PREAUTH|+ go on|+|a OK done|b OK done|a NO no|a BAD bad|* NO x|x",
    "pop3": "+OK|+OK ready|-ERR no|-ERR|+ x|+OKAY|x",
    "smtp": "220 ready|220-a\r\n220 b|250 ok|250-a\r\n250 b|235 ok|354 go|421 no|550 5.1.1 no|500-a\r\n500 b|x",
}


@st.composite
def _backend(draw: st.DrawFn, protocol: str) -> list[Answer | None]:
    reply = st.sampled_from(_REPLIES[protocol].split("|")).map(lambda text: f"{text}\r\n".encode())
    odd = st.sampled_from([b"", b"\r\n", b"\n", b"+OK\n", b"250 ok", b"x" * 70 + b"\r\n"])
    answer: st.SearchStrategy[Answer | None] = st.one_of(*[st.none()] * 14, *[reply] * 3, odd, st.just(Act.CLOSE))
    return draw(st.lists(answer, max_size=7))


@st.composite
def dialogues(draw: st.DrawFn, protocol: str) -> Case:
    """A case of `protocol`, on any of its servers."""
    return Case(
        name="random",
        server=draw(st.sampled_from(SERVERS[protocol].split())),
        client=tuple(draw(_client(protocol))),
        auth=tuple(draw(st.lists(_verdict(), min_size=1, max_size=2))),
        backend=tuple(draw(_backend(protocol))),
        differs=None,
    )
