"""Replies in any case, without text, in any pieces: the login goes on, or ends at once."""

from __future__ import annotations

import pytest

from tests.mail.cases import CASES, IMAP, POP3, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.backend import Script, hang
from tests.support.peer import Peer


def _conversation(replies: tuple[bytes, ...], *, slowly: bool) -> Script:
    """Say the first of `replies`, and each other one after a line."""

    def follow(peer: Peer) -> None:
        for number, reply in enumerate(replies):
            if number and not peer.line():
                return
            (peer.send_slowly if slowly else peer.send)(reply)
        hang(peer)

    return follow


GOOD: list[tuple[Case, bytes, tuple[bytes, ...]]] = [
    (IMAP, b"a1 Ok in\r\n", (b"* Ok ready\r\n", b"+\r\n", b"+\r\n", b"a1 Ok in\r\n")),
    (IMAP, b"* capability x\r\na1 ok\r\n", (b"* ok\r\n", b"+\r\n", b"+ \r\n", b"* capability x\r\na1 ok\r\n")),
    (POP3, b"+Ok in\r\n", (b"+Ok ready\r\n", b"+ok\r\n", b"+Ok in\r\n")),
    (SMTP, SMTP.answer, (b"220\r\n", b"250-a\r\n250 Xclient Name Addr Login\r\n", b"220\r\n")),
]


@pytest.mark.parametrize("slowly", [False, True], ids=["whole", "in bytes"])
@pytest.mark.parametrize(("case", "answer", "replies"), GOOD)
def test_keywords_in_any_case_and_replies_without_text_log_in(
    scene: Scene, case: Case, answer: bytes, replies: tuple[bytes, ...], slowly: bool
) -> None:
    backend = scene.backend(_conversation(replies, slowly=slowly))
    client = scene.client(scene.proxy(case.protocol, scene.auth_for(backend)))
    client.expect(case.greeting)
    client.talk((case.login, answer))
    assert backend.peer().received == case.commands


@pytest.mark.parametrize("slowly", [False, True], ids=["whole", "in bytes"])
@all_protocols
def test_a_short_reply_that_is_none_ends_the_login_at_once(scene: Scene, case: Case, slowly: bool) -> None:
    for step in range(len(case.backend)):
        for reply in (b"\r\n", b"*\r\n", b"-\r\n", b"2\r\n", b"25\r\n", b"a1\r\n", b"abc\r\n"):
            replies = (*case.backend[:step], reply)
            backend = scene.backend(_conversation(replies, slowly=slowly))
            proxy = scene.proxy(case.protocol, scene.auth_for(backend))
            client = scene.client(proxy)
            client.expect(case.greeting)
            client.send(case.login)
            assert client.rest() == case.error, replies
            assert "upstream sent invalid response" in proxy.log.find("[error]"), replies


def test_all_protocols_have_good_replies() -> None:
    assert {row[0].protocol for row in GOOD} == {case.protocol for case in CASES}
