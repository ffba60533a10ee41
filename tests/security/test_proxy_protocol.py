"""Rows 25 and 26: a PROXY header is demanded where it is configured, read exactly, and believed from nobody else."""

from __future__ import annotations

from tests.security.speech import IMAP, Speech
from tests.security.stage import Stage, of_each
from tests.wire.test_proxy_protocol import READ, REFUSED

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 143\r\n"


@of_each
def test_a_wrong_header_is_a_closed_connection_without_a_word(stage: Stage, speech: Speech) -> None:
    for name, (header, _) in REFUSED.items():
        for tls in (False, True):
            client = stage.unencrypted(speech, "behind") if tls else stage.connect(speech, "behind")
            stage.say_what_fits(client, header, slowly=not tls)
            assert client.rest() == b"", name


@of_each
def test_a_header_is_followed_by_the_greeting_however_it_comes(stage: Stage, speech: Speech) -> None:
    for name, (header, *_) in READ.items():
        for slowly in (False, True):
            client = stage.connect(speech, "behind")
            stage.say(client, header, slowly=slowly)
            assert client.skip(len(speech.greeting)) == speech.greeting, name
            client = stage.unencrypted(speech, "behind")
            stage.say(client, header, slowly=slowly)
            client.start_tls(stage.context)
            assert client.skip(len(speech.greeting)) == speech.greeting, name


@of_each
def test_the_header_of_a_stranger_is_told_and_not_believed(stage: Stage, speech: Speech) -> None:
    client = stage.connect(speech, "behind")
    client.send(V1)
    client.expect(speech.greeting)
    stage.log_in(client, speech)
    assert stage.auth.header(b"Client-IP") == b"127.0.0.1"
    assert stage.auth.header(b"Proxy-Protocol-Addr") == b"192.0.2.7"


@of_each
def test_a_header_where_none_is_expected_is_no_command(stage: Stage, speech: Speech) -> None:
    invalid = b"PROXY BAD invalid command\r\n" if speech is IMAP else speech.invalid
    client = stage.greeted(speech)
    client.talk((V1, invalid), (speech.noop, speech.done))
    client = stage.connect(speech, "behind")
    client.send(V1 * 2)
    client.expect(speech.greeting + invalid)
