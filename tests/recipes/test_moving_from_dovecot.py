"""Users reach the stores that the maps of the page name; tests/real runs its other configurations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recipes.conftest import Run
from tests.recipes.stage import Backend, ImapBackend, Recipe, imap_login
from tests.support.certificates import Certificate

PAGE = "../moving-from-dovecot.md"
SPLIT, PERDITION = 1, 2

NUMBERS = (10, 11, 12)


@pytest.fixture
def stores(certificate: Certificate) -> Iterator[dict[int, Backend]]:
    stores: dict[int, Backend] = {number: ImapBackend(certificate) for number in NUMBERS}
    yield stores
    for store in stores.values():
        store.stop()


def reached(recipe: Recipe, port: int, user: bytes, stores: dict[int, Backend]) -> int:
    """The number of the store at which a user arrives."""
    before = {number: len(store.peers) for number, store in stores.items()}
    client = recipe.connect(port, tls=port == 993)
    assert imap_login(client, user, b"secret") == b"a OK done by IMAP\r\n"
    client.close()
    (number,) = (number for number, store in stores.items() if len(store.peers) > before[number])
    return number


def test_a_map_does_what_perditions_does(run: Run, stores: dict[int, Backend]) -> None:
    changes = {f"192.0.2.{number}:143": str(store.address) for number, store in stores.items()}
    recipe = run(PAGE, changes, PERDITION)
    users = {b"anna@example.org": 10, b"karl": 10, b"zoe@example.org": 11, b"zoe@example.net": 12, b"Zoe": 12}
    assert {user: reached(recipe, 143, user, stores) for user in users} == users


def test_each_spelling_of_a_user_stays_at_one_backend(run: Run, stores: dict[int, Backend]) -> None:
    changes = {f"192.0.2.{number}:143": str(stores[number].address) for number in (10, 11)}
    recipe = run(PAGE, changes, SPLIT)
    users = [b"user%d@example.com" % number for number in range(8)]
    places = [reached(recipe, 993, user, stores) for user in users]
    assert set(places) == {10, 11}
    assert [reached(recipe, 993, user.title(), stores) for user in users] == places
    assert reached(recipe, 993, b"Anna@Example.com", stores) == 11
