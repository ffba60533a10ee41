"""Rows 33 and 35 to 38: bytes of a login's neighbourhood and of the relay arrive once, in order and unchanged."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator

import pytest

from tests.security.speech import IMAP, POP3, SMTP, SPEECHES, Speech
from tests.security.stage import WAYS, Stage, of_each
from tests.support.backend import Script, conversation, hang, hang_up, reset
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

GROWTH = 2 << 20  # bytes: two buffers are 8 KiB, what allocators keep is more
# Megabytes each way and kind of client; MAILWORKER_RELAYED=1024 is the long form.
MEGABYTES = int(os.environ.get("MAILWORKER_RELAYED", "8"))

EVIL = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nhidden\r\n"
# What a receiver might take for the end of data (SMTP-Smuggling-Tools).
ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
)


@pytest.mark.parametrize("end", ENDS, ids=[end.hex() for end in ENDS])
def test_no_end_of_data_is_seen_or_made(stage: Stage, end: bytes) -> None:
    mail = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nbody" + end + EVIL + b"\r\n.\r\n"
    for way in WAYS:
        number = len(stage.backends["smtp"].peers)
        client = stage.greeted(SMTP, tls=way.tls)
        client.talk((SMTP.login, SMTP.welcome))
        stage.say(client, mail, slowly=way.slowly)
        client.end()
        client.rest()
        heard = stage.backends["smtp"].heard(number)
        assert heard.endswith(b" NAME=[UNAVAILABLE]\r\n" + mail), way


@of_each
def test_what_is_pipelined_behind_a_login_arrives_once_and_in_order(stage: Stage, speech: Speech) -> None:
    lines = b"".join(b"x%d NOOP\r\n" % number for number in range(6000))
    assert len(lines) > 65536
    for way in WAYS:
        number = len(stage.backends[speech.name].peers)
        client = stage.greeted(speech, tls=way.tls)
        if way.slowly:
            client.send_slowly(speech.login + lines[:2000])
            answer = client.exchange(lines[2000:], len(speech.welcome + lines))
        else:
            answer = client.exchange(speech.login + lines, len(speech.welcome + lines))
        assert answer == speech.welcome + lines, way
        client.end()
        client.rest()
        assert stage.backends[speech.name].heard(number).endswith(lines)


REFUSALS = {IMAP: b"* BYE too busy\r\n", POP3: b"-ERR too busy\r\n", SMTP: b"421 4.7.0 too busy\r\n"}
BROKEN: dict[str, Script] = {
    "a greeting of garbage": conversation(bytes(range(256)) + b"\r\n"),
    "an end at once": hang_up,
    "a reset at once": reset,
    "an end in the greeting": conversation(b"+OK * OK 220 back", then=hang_up),
    "silence": hang,
    "silence in the greeting": conversation(b"220 back"),
    "a long line": conversation(b"* OK +OK 220 " + b"x" * 100_000),
    "a reply of 100,000 lines": conversation(b"220-x\r\n" * 100_000),
    "NULs": conversation(b"\0" * 5000),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
@of_each
def test_a_broken_backend_is_one_internal_error(stage: Stage, speech: Speech, script: Script) -> None:
    stage.backend = script
    clients = []
    for way in WAYS:
        client = stage.greeted(speech, "hasty", tls=way.tls)
        stage.say(client, speech.login, slowly=way.slowly)
        clients.append(client)
    assert [client.rest() for client in clients] == [speech.internal] * len(WAYS)


@pytest.mark.parametrize("variant", ["", "frank"])
@of_each
def test_a_backend_that_is_busy_is_quoted_where_that_is_wanted(stage: Stage, speech: Speech, variant: str) -> None:
    stage.backend = conversation(REFUSALS[speech])
    for way in WAYS:
        client = stage.greeted(speech, variant, tls=way.tls)
        stage.say(client, speech.login, slowly=way.slowly)
        assert client.rest() == (REFUSALS[speech] if variant else speech.internal), way


@of_each
def test_the_last_reply_outlives_the_end_of_the_client(stage: Stage, speech: Speech) -> None:
    for slowly in (False, True) * 5:
        client = stage.greeted(speech)
        stage.say(client, speech.login + b"one\r\n" + b"last\r\n", slowly=slowly)
        client.end()
        assert client.rest() == speech.welcome + b"one\r\nlast\r\n"


@of_each
def test_the_last_words_outlive_the_end_of_the_backend(stage: Stage, speech: Speech) -> None:
    words = b"* BYE\r\n" * 20_000

    def say_and_go(peer: Peer) -> None:
        speech.backend(peer, then=conversation(words, then=hang_up))

    stage.backend = say_and_go
    for tls in (False, True):
        client = stage.greeted(speech, tls=tls)
        client.send(speech.login)
        assert client.rest() == speech.welcome + words


class Digest:
    """What went through, as one number."""

    def __init__(self, size: int) -> None:
        self._hash = hashlib.sha256()
        self._size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]

    def add(self, piece: bytes) -> None:
        self._hash.update(piece)

    def random(self) -> Iterator[bytes]:
        """Pieces of random bytes and random lengths, each added."""
        source = random.Random(os.urandom(8))
        left = self._size
        while left:
            piece = source.randbytes(min(left, source.choice((1, 100, 4096, 65537))))
            self.add(piece)
            left -= len(piece)
            yield piece


KINDS = {
    "IMAP": (IMAP, False, 65536),
    "IMAP over TLS": (IMAP, True, 65536),
    "a slow reader": (POP3, False, 500),
    "a slow reader over TLS": (SMTP, True, 500),
}


@pytest.mark.timeout(60 + MEGABYTES * 2)
@pytest.mark.parametrize(("speech", "tls", "most"), KINDS.values(), ids=KINDS)
def test_megabytes_both_ways_are_the_same_bytes(stage: Stage, speech: Speech, tls: bool, most: int) -> None:
    size = MEGABYTES << 20
    sent, arrived, answered, heard = (Digest(size) for _ in range(4))
    done = threading.Event()

    def both_ways(peer: Peer) -> None:
        peer.stream(answered.random(), size, arrived.add)
        done.set()

    stage.backend = lambda peer: speech.backend(peer, then=both_ways)
    before = stage.memory()
    client = stage.greeted(speech, tls=tls)
    client.talk((speech.login, speech.welcome))
    client.stream(sent.random(), size, heard.add, most)
    assert done.wait(PATIENCE)
    assert stage.memory() < before + GROWTH
    assert arrived == sent
    assert heard == answered
    assert sent != answered


def test_every_protocol_refuses_in_its_words() -> None:
    assert set(REFUSALS) == set(SPEECHES)
