"""The fuzz targets: each takes any bytes, and raises an exception only if mailworker has a bug.

A reader of a stream must report the same for its input, whether it comes whole or in pieces; a ProtocolError counts as
part of the report.
"""

from __future__ import annotations

import tempfile
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

from mailworker.config.load import load
from mailworker.errors import ConfigError, ProtocolError
from mailworker.mail.authentication import auth_http
from mailworker.mail.backend import imap as imap_backend
from mailworker.mail.backend import pop3 as pop3_backend
from mailworker.mail.backend import smtp
from mailworker.mail.dialogue import imap
from mailworker.mail.dialogue import pop3 as dialogue_pop3
from mailworker.mail.dialogue import sasl as dialogue_sasl
from mailworker.mail.dialogue import sieve as dialogue_sieve
from mailworker.mail.dialogue import smtp as dialogue_smtp
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import AuthMethod, InetAddress
from mailworker.wire import sasl, xclient
from mailworker.wire.auth_answers import Answer, Answers, counting, recalled
from mailworker.wire.auth_response import AuthResponseParser, Rejected
from mailworker.wire.backend import TooLongReply, auth_plain, command_line, login_at_once, login_pieces
from mailworker.wire.confidential import without_response, without_secrets
from mailworker.wire.dns import Query, Question, RecordType, to_name
from mailworker.wire.imap import ImapParser, login_words
from mailworker.wire.pop3 import Pop3Parser, pop3_words
from mailworker.wire.proxy_protocol import parse
from mailworker.wire.reply_reader import ImapReplyReader, Pop3ReplyReader, ReplyReader, SmtpReplyReader
from mailworker.wire.sieve import SieveParser, sieve_words
from mailworker.wire.sieve_line import SieveLine
from mailworker.wire.sieve_response import SieveReplyReader, capabilities, challenge, refusal
from mailworker.wire.smtp import SmtpParser, smtp_words
from tests.config.conftest import resolve
from tests.event.plays import check_both_engines, script_of
from tests.wire.corpus import Parser, run
from tests.wire.sieve_lines import LINES

Target = Callable[[bytes], None]

# Small limits, so that inputs reach them.
_COMMAND_LIMIT = 96
_REPLY_LIMIT = 128
_RESPONSES = 2
_BYTE_BY_BYTE = 0.05

_USUAL_LINES = b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 1\r\n"


def _cuts(data: bytes) -> Iterator[list[bytes]]:
    """Cut the data in pieces that depend on the data alone; a few are cut into single bytes, which takes long."""
    choose = Random(data)
    if choose.random() < _BYTE_BY_BYTE:
        yield [data[i : i + 1] for i in range(len(data))]
    places = sorted(choose.randrange(len(data) + 1) for _ in range(choose.randrange(1, 4)))
    yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _same_for_any_cut(read: Callable[[Iterable[bytes]], object]) -> Target:
    def target(data: bytes) -> None:
        whole = read([data])
        for pieces in _cuts(data):
            cut = read(pieces)
            assert cut == whole, f"{whole!r}, but {cut!r} for {pieces!r}"

    return target


def _commands(make: Callable[[int], Parser]) -> Target:
    return _same_for_any_cut(lambda pieces: run(make(_COMMAND_LIMIT), pieces, _RESPONSES))


def _read_proxy_header(pieces: Iterable[bytes]) -> object:
    """The party to blame for an error, not its text: that quotes all received bytes, so it depends on the pieces."""
    received = b""
    for piece in pieces:
        received += piece
        try:
            header = parse(received)
        except ProtocolError as error:
            return error.party
        if header is not None:
            return header
    return None


def _read_verdict(pieces: Iterable[bytes]) -> object:
    parser = AuthResponseParser(names=True)
    try:
        for piece in pieces:
            parser.feed(piece)
            if (verdict := parser.next()) is not None:
                return verdict
    except ProtocolError as error:
        return str(error)
    return None


def _read_replies(make: Callable[[int], ReplyReader]) -> Callable[[Iterable[bytes]], object]:
    def read(pieces: Iterable[bytes]) -> object:
        reader, replies = make(_REPLY_LIMIT), list[object]()
        try:
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next()) is not None:
                    replies.append(reply)
        except TooLongReply as error:
            return [*replies, error.text]
        rest = reader.rest()
        assert make is not Pop3ReplyReader or b"\r\n" not in rest, f"{rest!r} is waited for"
        return [*replies, rest]

    return read


def _read_all_replies(pieces: Iterable[bytes]) -> object:
    pieces = list(pieces)
    return [_read_replies(make)(pieces) for make in (ImapReplyReader, Pop3ReplyReader, SmtpReplyReader)]


def _read_sieve_replies(pieces: Iterable[bytes]) -> object:
    """TooLongReply is reported as None: when it is raised, and with which text, depends on the pieces."""
    reader, replies = SieveReplyReader(_REPLY_LIMIT), list[object]()
    try:
        for piece in pieces:
            reader.feed(piece)
            while (reply := reader.next()) is not None:
                replies += [reply, refusal(reply), capabilities(reply), challenge(reply)]
    except TooLongReply:
        return [*replies, None]
    return [*replies, reader.rest()]


def _watch(data: bytes) -> None:
    """Watch the lines of a logged-in client: the C and its Python original accept and refuse the same."""
    make = LINES.get("C", SieveLine)
    whole = SieveLine().refuses(data)
    assert make().refuses(data) is whole, data
    for pieces in _cuts(data):
        line = make()
        assert any(line.refuses(piece) for piece in pieces) is whole, pieces


_QUERIES: Final = tuple(
    Query(0x3132, Question(to_name(b"a.example"), kind)) for kind in (RecordType.A, RecordType.AAAA, RecordType.PTR)
)


def _answer(data: bytes) -> None:
    for query in _QUERIES:
        query.read(data)
        query.read(query.to_wire()[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + query.question.to_wire() + data)


_DECODERS: Final = (
    sasl.decode_plain,
    lambda text: sasl.decode(text, AuthMethod.LOGIN),
    sasl.decode_cram_md5,
    sasl.decode_xoauth2,
    sasl.decode_oauthbearer,
)


def _decode(data: bytes) -> None:
    for decode in _DECODERS:
        try:
            decode(data)
        except ProtocolError:
            continue


_SECRET: Final = b"hunter2"
_BEFORE_SECRETS: Final = (b" LOGIN u ", b"\tlogin {9}\r\n", b"\nAUTH\tPLAIN ", b" PASS ", b"\r\n", b"\r(")


def _conceal(data: bytes) -> None:
    """A secret after a line's end, or after a word that announces one, is never shown, whatever precedes that."""
    if _SECRET in data:
        return
    for before in _BEFORE_SECRETS:
        said = data + before + _SECRET + b"\r\n" + data
        shown = without_secrets(said)
        assert _SECRET not in shown, said
        assert said.startswith(shown.removesuffix(b"...").removesuffix(b" ")), said
    assert _SECRET not in without_response(data + b"\0" + _SECRET)


def _configure(data: bytes) -> None:
    """Load a configuration. Includes are left out: they would read any files that exist."""
    if b"include" in data:
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            load(Path(file.name), protocols=PROTOCOLS, prefix=Path("/nonexistent"), resolve=resolve)
        except ConfigError:
            return


def _take_words(data: bytes) -> None:
    """C and Python find the same words in usual logins and responses of PLAIN, and write the same commands."""
    _take_first_words(data)
    for line in (data, b"a LOGIN " + data, data + b"\r\n"):
        assert imap.login_words(line) == login_words(line)
    words = data[:3], data[3:16], data[16:]
    assert imap_backend.login_pieces(*words, _COMMAND_LIMIT) == login_pieces(*words, _COMMAND_LIMIT)
    assert imap_backend.login_at_once(*words, _COMMAND_LIMIT) == login_at_once(*words, _COMMAND_LIMIT)
    parts = words[0], data, words[1], words[2], _COMMAND_LIMIT
    assert pop3_backend.auth_plain(*parts) == auth_plain(*parts)
    for response in (data, b2a_base64(data, newline=False), b2a_base64(b"\0u\0" + data, newline=False)):
        assert dialogue_sasl.plain_words(response) == sasl.plain_words(response)
    listed = frozenset((b"ADDR", b"LOGIN", b"NAME")[: 1 + len(data) % 3])
    for login, name in ((data, b"name"), (b"user", data), (None, data)):
        sent = listed, InetAddress("192.0.2.1", 1), login, name
        assert smtp.xclient_command(*sent) == xclient.xclient_command(*sent)


def _take_first_words(data: bytes) -> None:
    for heard, words in (
        *((None, data), (data, data[-9:]), (data, b"PASS x\r\n"), (b"EHLO me\r\n", data), (b"USER u\r\n", data)),
        *((b"USER u\r\n", b"PASS %b\r\n" % data), (b"EHLO %b\r\n" % data, b"AUTH PLAIN AGEAYg==\r\n")),
        *((None, b'AUTHENTICATE "PLAIN" ' + data), (b'AUTHENTICATE "PLAIN"\r\n', b'"%b"\r\n' % data)),
    ):
        assert dialogue_pop3.pop3_words(heard, words) == pop3_words(heard, words)
        assert dialogue_sieve.sieve_words(heard, words) == sieve_words(heard, words)
        assert dialogue_smtp.smtp_words(heard, words) == smtp_words(heard, words)
    assert pop3_backend.command_line(b"PASS ", data) == command_line(b"PASS ", data)


def _recall(data: bytes) -> None:
    """C and Python find the same in answers of an auth service, and what is remembered means what the parser says."""
    usual = _USUAL_LINES + data
    for answer in (data, data + b"\r\n", data + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + data, usual, usual + b"\r\n"):
        found = counting(answer)
        assert auth_http.READING.counting(answer) == found
        known = {} if found is None else {found.lines: Answer(Rejected(data), None)}
        assert auth_http.READING.recalled(known, answer, _told) == recalled(known, answer, _told)
        _check_answer(answer)


def _told(answer: Answer, login: bytes | None, password: bytes | None) -> Answer:
    return Answer(Rejected(repr((login, password)).encode()), answer.body)


def _check_answer(answer: bytes) -> None:
    for names, nameless in ((False, False), (True, False), (False, True)):
        parser = AuthResponseParser(names=names, nameless=nameless)
        parser.feed(answer)
        try:
            expected: object = (parser.next(), parser.missing())
        except ProtocolError as error:
            expected = str(error)
        answers = Answers(names=names, nameless=nameless, reading=auth_http.READING)
        for _ in range(2):
            try:
                assert answers.read(answer) in (None, expected)
            except ProtocolError as error:
                assert str(error) == expected


def _carry_out(data: bytes) -> None:
    """With both engines all peers receive the same, whatever the plans and the pieces of replies."""
    check_both_engines(script_of(data))


TARGETS: Final[Mapping[str, Target]] = {
    "imap": _commands(ImapParser),
    "pop3": _commands(Pop3Parser),
    "smtp": _commands(SmtpParser),
    "sasl": _decode,
    "secrets": _conceal,
    "proxy": _same_for_any_cut(_read_proxy_header),
    "auth": _same_for_any_cut(_read_verdict),
    "backend": _same_for_any_cut(_read_all_replies),
    "sieve": _commands(SieveParser),
    "sieve-reply": _same_for_any_cut(_read_sieve_replies),
    "sieve-line": _watch,
    "dns": _answer,
    "plan": _carry_out,
    "login": _take_words,
    "answers": _recall,
    "config": _configure,
}
