"""What is said of an opening without a dialogue is what that dialogue would say, and a login by it is the same."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.event.choice import BASE64, NOTHING, WORD, Choice, Choices, chosen
from mailworker.mail.dialogue.dialogue import AnyDialogue, catch_up
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.server import Server, ServerTls
from mailworker.mail.session_log import SessionLog
from tests.mail.dialogue.dialogues import server_of, source_for
from tests.support.memory_stream import MemoryStream
from tests.support.recorded_log import RecordedLog

Path = tuple[Choice, ...]
RESPONSE = b64encode(b"\0user\0secret") + b"\r\n"

QUOTED = b'"%b"\r\n' % RESPONSE[:-2]

LAST = (
    *(b"PASS a b\r\n", b"pass  x\r\n", b"PASS x\n", b"PASS \r\n", b"NOOP\r\n", b"PASS x\r\nSTAT\r\n"),
    *(b"AUTH PLAIN " + RESPONSE, b"auth plain " + RESPONSE, b"AUTH PLAIN =\r\n"),
    *(b'AUTHENTICATE "PLAIN" ' + QUOTED, b'authenticate "plain" ' + QUOTED, b'AUTHENTICATE "PLAIN" {4+}\r\nAAAA\r\n'),
    *(QUOTED, QUOTED[:-2] + b"\n", QUOTED + QUOTED, b'"="\r\n', b'"*"\r\n', b'"%b" "x"\r\n' % RESPONSE[:-2]),
    *(RESPONSE, RESPONSE + RESPONSE, b64encode(b"other\0user\0x") + b"\r\n", b"*\r\n"),
)


def dialogue_of(protocol: str) -> AnyDialogue:
    its, recorded = server_of(protocol, {"capabilities": (b"WORDS",)}), RecordedLog("127.0.0.1:143")
    row = PROTOCOLS[protocol]
    server = Server(its, recorded.log, ServerTls(), row.capabilities(its), source_for(its))
    return row.dialogue(MemoryStream(), server, SessionLog(recorded, 1, "192.0.2.1"))


def opening_of(protocol: str) -> Choices:
    opening = PROTOCOLS[protocol].capabilities(server_of(protocol, {"capabilities": (b"WORDS",)})).opening
    assert opening is not None
    assert opening[1] is not None
    return opening[1]


def paths(choices: Choices, before: Path = ()) -> Iterator[Path]:
    for choice in choices:
        yield (*before, choice)
        yield from paths(choice.choices, (*before, choice))


def lines_of(path: Path, argument: bytes, lower: bool) -> list[bytes]:
    arguments = {NOTHING: b"", WORD: argument, BASE64: b64encode(argument)}
    starts = [choice.start.lower() if lower else choice.start for choice in path]
    return [b"%b%b\r\n" % (start, arguments[choice.argument]) for start, choice in zip(starts, path, strict=True)]


OPENED = ("pop3", "smtp", "sieve")
PATHS = [(protocol, path) for protocol in OPENED for path in paths(opening_of(protocol))]
NAMES = [b" ".join((protocol.encode(), *(choice.start for choice in path))).decode() for protocol, path in PATHS]


@pytest.mark.parametrize(("protocol", "path"), PATHS, ids=NAMES)
@settings(max_examples=20, deadline=None)
@given(argument=st.binary(min_size=1).map(lambda word: bytes(33 + byte % 94 for byte in word)), lower=st.booleans())
def test_each_answer_is_the_dialogue_s(protocol: str, path: Path, argument: bytes, lower: bool) -> None:
    dialogue, choices = dialogue_of(protocol), opening_of(protocol)
    for line, choice in zip(lines_of(path, argument, lower), path, strict=True):
        assert chosen(choices, line) == choice
        dialogue.hear(line)
        assert (dialogue.move(), dialogue.has_input) == (choice.answer, False)
        choices = choice.choices


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize(("protocol", "path"), [*PATHS, *((each, ()) for each in OPENED)], ids=[*NAMES, *OPENED])
def test_a_login_is_the_dialogue_s_or_none(protocol: str, path: Path, last: bytes) -> None:
    heard = b"".join(lines_of(path, b"name", lower=False)) or None
    login = PROTOCOLS[protocol].first_login(heard, last)
    dialogue = dialogue_of(protocol)
    if heard is not None:
        catch_up(dialogue, heard)
    if login is None:
        return
    follower = dialogue_of(protocol)
    follower.follow_login(login, heard)
    assert (login, b"") == (moved(dialogue, last), dialogue.take_input())
    assert (follower.commands, follower.tag) == (dialogue.commands, dialogue.tag)
    assert all(getattr(follower, name, 0) == getattr(dialogue, name, 0) for name in ("helo", "esmtp"))


@pytest.mark.parametrize(
    ("protocol", "heard", "last"),
    [
        ("pop3", b"USER name\r\n", b"PASS a b\r\n"),
        ("pop3", b"CAPA\r\nUSER name\r\n", b"pass x\n"),
        ("pop3", b"AUTH PLAIN\r\n", RESPONSE),
        ("pop3", None, b"AUTH PLAIN " + RESPONSE),
        ("sieve", None, b'AUTHENTICATE "PLAIN" ' + QUOTED),
        ("sieve", b"CAPABILITY\r\n", b'AUTHENTICATE "PLAIN" ' + QUOTED),
        ("sieve", b'capability\r\nauthenticate "Plain"\r\n', QUOTED),
        ("smtp", b"EHLO me\r\n", b"AUTH PLAIN " + RESPONSE),
        ("smtp", b"ehlo me\r\nauth plain\r\n", RESPONSE),
        ("smtp", b"EHLO me\r\nAUTH LOGIN\r\nbmFtZQ==\r\n", b"eA==\r\n"),
    ],
)
def test_a_usual_login_needs_no_dialogue(protocol: str, heard: bytes | None, last: bytes) -> None:
    assert PROTOCOLS[protocol].first_login(heard, last) is not None


def moved(dialogue: AnyDialogue, words: bytes) -> object:
    dialogue.hear(words)
    return dialogue.move()
