"""What becomes of an attempt when a session goes another way; for the rest see tests/mail/limits."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from mailworker.config.source import ByBackendSettings
from tests.mail import deciding
from tests.mail.cases import IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.deciding import WRONG, accepting, refusing
from tests.mail.limits.settings import TEMPORARY, delay, limit, login, settings
from tests.support.auth import accepted
from tests.support.backend import hang_up
from tests.support.settings import NOWHERE, proxy_pass, proxy_settings


@all_protocols
def test_a_backend_that_is_away_does_not_count(scene: Scene, case: Case) -> None:
    """The password was right."""
    backend = scene.backend(hang_up)
    proxy = scene.proxy(case.protocol, scene.auth(accepted(backend.address)), limit_auth=settings(limit(0)))
    for _ in range(3):
        client = scene.client(proxy)
        client.expect(case.greeting)
        client.send(case.login)
        assert client.rest() == case.error


def test_who_is_allowed_is_not_delayed_where_the_backend_refuses(scene: Scene) -> None:
    backend = scene.backend(refusing("smtp", WRONG["smtp"]))
    limits = settings(limit(0), delay=delay(3600.0, inf))
    service, to = (
        scene.auth(accepted(backend.address)),
        proxy_settings(smtp_auth=True, xclient=False, pass_error_codes=True),
    )
    proxy = scene.proxy("smtp", service, proxy=to, limit_auth=limits)
    for _ in range(2):
        client = scene.client(proxy)
        client.expect(SMTP.greeting)
        client.send(SMTP.login)
        assert client.until(b"\r\n").startswith(b"535 ")


@all_protocols
@pytest.mark.parametrize("wrong", [True, False])
def test_where_the_backend_decides_its_word_counts(scene: Scene, case: Case, wrong: bool) -> None:
    name = case.protocol
    reply = (WRONG if wrong else deciding.TEMPORARY)[name]
    backend = scene.backend(refusing(name, reply))
    settings_of_proxy = proxy_settings(backend=proxy_pass(backend.address))
    changes: dict[str, Any] = {
        "source": ByBackendSettings(),
        "proxy": settings_of_proxy,
        "limit_auth": settings(limit(0)),
    }
    proxy = scene.proxy(name, NOWHERE, **changes)
    answers = []
    for number in range(3):
        client = scene.client(proxy)
        client.expect(case.greeting)
        client.send(login(case, b"guess%d" % number))
        answers.append(client.until(b"\r\n"))
        scene.skip(2.0)
    assert answers == ([WRONG[name], TEMPORARY[name], TEMPORARY[name]] if wrong else [TEMPORARY[name]] * 3)


def test_where_the_backend_decides_successes_do_not_count(scene: Scene) -> None:
    backend = scene.backend(accepting("imap"))
    settings_of_proxy = proxy_settings(backend=proxy_pass(backend.address))
    proxy = scene.proxy(
        "imap", NOWHERE, source=ByBackendSettings(), proxy=settings_of_proxy, limit_auth=settings(limit(0))
    )
    for _ in range(3):
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.send(IMAP.login)
        client.expect(IMAP.answer)
