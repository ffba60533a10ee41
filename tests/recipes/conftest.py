"""What all recipes need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.recipes.stage import Backend, ImapBackend, Recipe, SmtpBackend, shown
from tests.support.auth import AuthService
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key

Run = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def only_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can listen on the ports of mail")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: CertificateAuthority) -> Certificate:
    return authority.issue_server("server", ecdsa_key(), ("mail.example.com",))


@pytest.fixture
def run(tmp_path: Path, certificate: Certificate) -> Iterator[Run]:
    """Run a configuration of a page: `run(page, changes, number)`, or one that is given, by `text`."""
    running: list[Recipe] = []

    def run(page: str, changes: Mapping[str, str], number: int = 0, text: str | None = None) -> Recipe:
        folder = tmp_path / f"recipe{len(running)}"
        recipe = Recipe(folder_of(folder), shown(page, number) if text is None else text, changes, certificate)
        running.append(recipe)
        recipe.start()
        return recipe

    yield run
    for recipe in running:
        recipe.stop()


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture
def imap(certificate: Certificate) -> Iterator[Backend]:
    backend = ImapBackend(certificate)
    yield backend
    backend.stop()


@pytest.fixture
def smtp(certificate: Certificate) -> Iterator[Backend]:
    backend = SmtpBackend(certificate)
    yield backend
    backend.stop()


@pytest.fixture
def auth() -> Iterator[AuthService]:
    """A service that answers as the test lets it."""
    service = AuthService(b"")
    yield service
    service.stop()
