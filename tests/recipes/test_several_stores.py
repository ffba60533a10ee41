"""Each user reaches the store that `map` names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recipes.conftest import Run
from tests.recipes.stage import Backend, ImapBackend, SmtpBackend, imap_login, smtp_login
from tests.support.certificates import Certificate

ANSWERS = (b"a OK done by IMAP\r\n", b"235 2.0.0 OK\r\n")
STORES = {
    b"anna@example.net": 10,
    b"berta@example.org": 11,
    b"carla@lists.example.org": 11,
    b"dora@students.example.edu": 12,
    b"boss@example.com": 13,
    b"emil": 10,
}


@pytest.fixture
def stores(certificate: Certificate) -> Iterator[dict[tuple[int, int], Backend]]:
    stores: dict[tuple[int, int], Backend] = {}
    for number in range(10, 14):
        stores[number, 143] = ImapBackend(certificate)
        stores[number, 587] = SmtpBackend(certificate)
    yield stores
    for store in stores.values():
        store.stop()


def test_each_user_reaches_his_store(run: Run, stores: dict[tuple[int, int], Backend]) -> None:
    changes = {f"192.0.2.{number}:{port}": str(store.address) for (number, port), store in stores.items()}
    names = {f"192.0.2.{number}": f"store{number}" for number in range(10, 14)}
    recipe = run("several-stores.md", {**changes, **names})
    for user, number in STORES.items():
        for port, protocol, login in ((993, 143, imap_login), (465, 587, smtp_login)):
            before = {key: len(store.peers) for key, store in stores.items()}
            client = recipe.connect(port)
            assert login(client, user, b"secret") in ANSWERS
            client.close()
            after = {key: len(store.peers) for key, store in stores.items()}
            assert [key for key in stores if after[key] > before[key]] == [(number, protocol)]
            assert stores[number, protocol].upgrades  # the password went by TLS
