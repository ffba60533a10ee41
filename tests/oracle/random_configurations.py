"""Configurations at random: blocks and directives in right and wrong places, with good and bad values."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.oracle.configurations import AUXILIARY, DIRECTIVES, EVENTS, LISTENS, MAIN, WORDS, Case

Texts = st.SearchStrategy[str]

# What takes seconds to find out.
_SLOW = ("no.such.host", "localhost")

_SIZES = "imap_client_buffer smtp_client_buffer proxy_buffer"
_MILLISECONDS = "timeout auth_http_timeout proxy_timeout smtp_greeting_delay resolver_timeout"
_NUMBERS = "max_errors"
_INTS = "ssl_verify_depth"
_FLAGS = "xclient proxy_smtp_auth proxy_pass_error_message ssl_prefer_server_ciphers ssl_session_tickets proxy"
_CHOICES = {
    "starttls": "on off only ON Only maybe",
    "imap_auth": "plain login cram-md5 external PLAIN apop none x",
    "pop3_auth": "plain apop cram-md5 external APOP login x",
    "smtp_auth": "plain login cram-md5 external none NONE apop x",
    "protocol": "imap pop3 smtp IMAP http",
    "ssl_protocols": "SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3 tlsv1.3 TLSv1.4",
    "ssl_verify_client": "on off optional optional_no_ca OFF yes",
}
_NAMES = "events mail server listen daemon use auth_http error_log server_name include nosuch"


def _rows(*tables: Sequence[str]) -> Texts:
    return st.sampled_from([row for table in tables for row in table if not any(slow in row for slow in _SLOW)])


def _among(words: str) -> Texts:
    return st.sampled_from(words.split())


# Numbers between what an int holds and what nginx refuses are a named difference, see TOO_LARGE.
_int = st.integers(-3, 2**31 - 1) | st.integers(2**63, 2**66)
_size = st.text("0123456789kKmMgG", max_size=4) | _int.map(str)
_time = st.lists(
    st.tuples(
        st.integers(0, 99).map(str), st.sampled_from(["", "", "ms", "s", "m", "h", "d", "w", "M", "y", " ", "x"])
    ),
    max_size=3,
).map(lambda groups: "".join(number + unit for number, unit in groups))
_flag = _among("on off ON Off oN of onn 1 yes")
_number = st.integers(-3, 2**65).map(str) | st.text("0123456789k-+ ", max_size=4)


def _of(names: str, values: Texts) -> Texts:
    return st.tuples(_among(names), values.map(_quoted)).map(lambda pair: f"{pair[0]} {pair[1]};")


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or " " in value else value


_choice = st.sampled_from(sorted(_CHOICES)).flatmap(
    lambda name: st.lists(st.sampled_from(_CHOICES[name].split()), max_size=3).map(
        lambda words: f"{' '.join([name, *words])};"
    )
)
_valued = st.one_of(
    _of(_SIZES, _size),
    _of(_MILLISECONDS, _time),
    _of("ssl_session_timeout", _time),
    _of(_NUMBERS, _number),
    _of(_INTS, _int.map(str) | st.text("0123456789k-+ ", max_size=4)),
    _of(_FLAGS, _flag),
    _choice,
)

_host = _among("127.0.0.1 127.0.0.2 * [::1] [::] ::1 256.1.1.1 1.2.3 [::g] [::1")
_port = st.one_of(st.just(""), _among(":143 :110 :25 :0 : :x :70000 :40-42 :42-40 :40- :-4 /a"))
_parameter = _among(
    "ssl bind proxy_protocol backlog=5 backlog=0 backlog=x rcvbuf=1k rcvbuf=x sndbuf=1m sndbuf= so_keepalive=on "
    "so_keepalive=off so_keepalive=1m:: so_keepalive=: so_keepalive=:: so_keepalive=1:2:3 so_keepalive=1:2 "
    "so_keepalive=::x so_keepalive=1ms:: so_keepalive=1y::3"
)
_listen = st.tuples(_host, _port, st.lists(_parameter, max_size=3)).map(
    lambda parts: " ".join([f"listen {parts[0]}{parts[1]}", *parts[2]]) + ";"
)

_word = st.one_of(
    _among('on off a#b ${a} $a{ "x" \' " \\ a\\;b )'),
    st.sampled_from(["a\\ b", "'a b'", '"a;b"']),
    st.text("ab01 \"'\\{};#$\n\t\xe9", max_size=5),
)
_loose = st.tuples(_among(_NAMES), st.lists(_word, max_size=3), st.sampled_from([";", ";", ";", "{", "", "}"])).map(
    lambda parts: " ".join([parts[0], *parts[1]]) + parts[2]
)
_space = st.sampled_from(["\n", "\n", " ", "\n\n", "\t", " # a comment;\n", "\r\n", "#\n"])

_include = st.sampled_from(
    ["include a.conf;", "include b.conf;", "include [ab].conf;", "include *.none;", "include nosuch;"]
)

_in_server = st.one_of(_valued, _valued, _listen, _rows(DIRECTIVES), _rows(LISTENS))
_in_mail = st.one_of(_valued, _rows(DIRECTIVES))
_anything = st.one_of(_loose, _rows(WORDS), _rows(MAIN), _rows(EVENTS))


@st.composite
def _block(draw: st.DrawFn, opening: str, items: Texts, base: str = "") -> str:
    """A block that is as it should be but for `items`."""
    texts: list[str] = draw(st.lists(items, max_size=4))
    if base:
        texts.insert(draw(st.integers(0, len(texts))), base)
    spaces: list[str] = draw(st.lists(_space, min_size=len(texts) + 1, max_size=len(texts) + 1))
    body = "".join(space + text for space, text in zip(spaces, texts, strict=False))
    return f"{opening} {{{body}{spaces[-1]}}}"


_SERVER = ("listen 127.0.0.1:0-0;", "listen 127.0.0.1; protocol imap;", "protocol smtp; listen 127.0.0.1;", "")
_server = st.sampled_from(_SERVER).flatmap(lambda base: _block("server", st.one_of(_in_server, _include), base))
_mail = st.sampled_from(["auth_http 127.0.0.1:9000;", ""]).flatmap(
    lambda base: _block("mail", st.one_of(_server, _server, _in_mail, _include), base)
)
_events = st.one_of(st.just("events {}"), _block("events", _rows(EVENTS)))


@st.composite
def configurations(draw: st.DrawFn) -> Case:
    """A case of the oracle; most of them have a fault somewhere."""
    parts = [draw(_events), draw(_mail), *draw(st.lists(st.one_of(_rows(MAIN), _include), max_size=2))]
    odd: list[str] = draw(st.lists(_anything, max_size=1))
    parts = draw(st.permutations(parts + odd))
    files = {name: draw(st.one_of(_in_mail, _in_server, _anything)).encode() for name in ("a.conf", "b.conf")}
    text = "".join(part + draw(_space) for part in parts)
    return Case("random", text.encode(), {**AUXILIARY, **files})
