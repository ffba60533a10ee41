"""Whole sessions where the backend decides about the login (auth_upstream)."""

from __future__ import annotations

from tests.mail.cases import Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import COMMANDS, Stage, accepting, answer


@all_protocols
def test_whom_the_backend_knows_is_logged_in(scene: Scene, case: Case) -> None:
    stage = Stage(scene, case.protocol, accepting(case.protocol))
    stage.client.talk((case.login, answer(case)), (b"one\r\n", b"one\r\n"))
    stage.client.end()
    assert stage.client.rest() == b""
    assert stage.backend.heard() == COMMANDS[case.protocol] + b"one\r\n"
    stage.proxy.log.find("client logged in")


def test_mail_without_a_login_never_reaches_the_backend(scene: Scene) -> None:
    stage = Stage(scene, "smtp")
    stage.client.talk(
        (b"MAIL FROM:<a@example.com>\r\n", b"530 5.7.1 Authentication required\r\n"),
        (b"RCPT TO:<b@example.com>\r\n", b"503 5.5.1 Bad sequence of commands\r\n"),
    )
    assert not stage.backend.peers
