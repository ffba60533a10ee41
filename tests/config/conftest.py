"""Loading of configurations written in the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.load import load
from mailworker.config.settings import MailServer, Settings
from mailworker.config.tree import Parser
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.variables.regex import no_engine

HOSTS = {"localhost": ["127.0.0.1", "::1"], "mail.example.com": ["192.0.2.1"]}


def resolve(host: str) -> Sequence[str]:
    """A resolver without a network."""
    if host not in HOSTS:
        raise OSError(f"{host} is unknown")
    return HOSTS[host]


def source_of(server: MailServer) -> AuthHttpSettings:
    """The settings of a server's auth service."""
    assert isinstance(server.source, AuthHttpSettings)
    return server.source


Load = Callable[..., Settings]
LoadServer = Callable[[str], MailServer]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """`load` of a text."""

    def load_it(text: str | bytes, **options: object) -> Settings:
        path = tmp_path / "mailworker.conf"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(path, protocols=PROTOCOLS, prefix=tmp_path, **{"resolve": resolve, **options})  # type: ignore[arg-type]

    return load_it


@pytest.fixture
def load_server(load_text: Load) -> LoadServer:
    """The one server of a configuration whose `server` block holds the given directives beside what it must have."""

    def load_it(directives: str) -> MailServer:
        text = f"events {{}} mail {{ auth_http 127.0.0.1; server {{ listen 143; {directives} }} }}"
        (server,) = load_text(text).servers
        return server

    return load_it


@pytest.fixture
def parser(tmp_path: Path) -> Parser:
    """A parser that stands outside of all text."""
    return Parser(
        tmp_path / "mailworker.conf",
        tmp_path,
        lambda parser, statement: None,
        resolve,
        lambda level, message: None,
        no_engine,
    )
