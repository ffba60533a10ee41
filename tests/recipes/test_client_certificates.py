"""Devices log in by their certificates, as the page's function judges them."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from typing import cast

import pytest

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Backend, Recipe
from tests.support.auth import AuthService, response
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.peer import Peer
from tests.tls.peers import client_context

External = Callable[[dict[str, str]], dict[str, str]]


def external(backend: Backend) -> External:
    """The function of the page, with another backend."""
    page = (RECIPES / "client-certificates.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    names: dict[str, object] = {}
    exec(found[1].replace("192.0.2.10", "127.0.0.1").replace('"143"', f'"{backend.address.port}"'), names)
    return cast("External", names["external"])


@pytest.fixture
def recipe(run: Run, auth: AuthService, authority: CertificateAuthority, imap: Backend) -> Recipe:
    judge = external(imap)

    def answer(peer: Peer) -> None:
        lines = [line.partition(b": ") for line in auth.requests[-1].split(b"\r\n")[1:]]
        verdict = judge({name.decode(): value.decode() for name, _, value in lines})
        peer.send(response(*((name.encode(), value.encode()) for name, value in verdict.items())))

    auth.prepare(answer)
    changes = {"127.0.0.1:9000": str(auth.address), "devices.pem": str(authority.path)}
    return run("client-certificates.md", changes)


def log_in(recipe: Recipe, certificate: Certificate | None, user: bytes) -> bytes:
    client = recipe.connect(993, client_context(None, certificate))
    client.line()
    client.send(b"a AUTHENTICATE EXTERNAL %b\r\n" % (b64encode(user) or b"="))
    answer = client.line()
    client.close()
    return answer


def test_a_device_is_who_its_certificate_names(recipe: Recipe, authority: CertificateAuthority, imap: Backend) -> None:
    phone = authority.issue_client("phone", ecdsa_key(), "anna@example.com")
    assert log_in(recipe, phone, b"anna@example.com") == b"a OK done by IMAP\r\n"
    assert b"anna@example.com" in imap.said()
    assert b"master secret" in imap.said()


def test_nobody_is_somebody_else(recipe: Recipe, authority: CertificateAuthority, imap: Backend) -> None:
    phone = authority.issue_client("phone2", ecdsa_key(), "anna@example.com")
    assert log_in(recipe, phone, b"boss@example.com") == b"a NO This certificate is somebody else's\r\n"
    assert log_in(recipe, None, b"anna@example.com") == b"a NO A certificate is needed\r\n"
    assert imap.peers == []
