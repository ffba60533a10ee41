"""Every configuration that we show must load."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from mailworker import config
from mailworker.config.load import load
from mailworker.config.settings import Settings
from mailworker.config.source import ByBackendSettings
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import InetAddress
from mailworker.native.regex import Regex

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```nginx\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Those that show a configuration of mailworker's, and not only of other programs.
RECIPES = [
    path for path in sorted((ROOT / "docs" / "recipes").glob("*.md")) if path.name not in ("README.md", "kubernetes.md")
]

DOCUMENTS = (
    "README.md",
    "docs/abuse.md",
    "docs/certificates.md",
    "docs/configuration.md",
    "docs/control.md",
    "docs/quick-start.md",
    "docs/moving-from-nginx.md",
    "docs/moving-from-dovecot.md",
    *(f"docs/recipes/{path.name}" for path in RECIPES),
    "docs/identity.md",
    "docs/limits.md",
    "docs/logins.md",
    "docs/logs.md",
    "docs/managesieve.md",
    "docs/resolver.md",
    "docs/troubleshooting.md",
    "docs/variables.md",
)
SHOWN = [
    pytest.param(text, id=f"{document}-{number}")
    for document in DOCUMENTS
    for number, text in enumerate(BLOCK.findall((ROOT / document).read_text(encoding="utf-8")), 1)
]
SHIPPED = sorted((ROOT / "conf").glob("*.conf"))

# What has no default must be given; the rest is left out.
MINIMAL = """
events {
}
mail {
    auth_http 127.0.0.1:9000/auth;
    server {
        listen 143;
    }
}
"""


def load_text(folder: Path, text: str) -> Settings:
    path = folder / "mailworker.conf"
    path.write_text(text, encoding="utf-8")
    (folder / "policy.nonce").write_text("any secret")
    return load(path, protocols=PROTOCOLS, prefix=folder, compile_regex=Regex)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_show_a_configuration(document: str) -> None:
    assert BLOCK.search((ROOT / document).read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", SHOWN)
def test_what_documents_show_loads_without_a_warning(tmp_path: Path, text: str) -> None:
    settings = load_text(tmp_path, text)
    assert settings.servers
    assert settings.warnings == ()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_loads_without_a_warning(path: Path, tmp_path: Path) -> None:
    settings = load(path, protocols=PROTOCOLS, prefix=tmp_path)
    assert settings.servers
    assert settings.warnings == ()


def test_the_first_configuration_needs_no_http_service(tmp_path: Path) -> None:
    text, *_ = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "auth_http" not in text
    settings = load_text(tmp_path, text)
    assert all(isinstance(server.source, ByBackendSettings) for server in settings.servers)
    named = [server.proxy.backend for server in settings.servers if server.proxy.backend is not None]
    backends = [str(address) for backend in named for address in backend.addresses]
    assert backends == ["192.0.2.10:143", "192.0.2.10:110", "192.0.2.10:587", "192.0.2.10:587"]


def test_the_configuration_to_copy_serves_both_families_and_offers_what_clients_use(tmp_path: Path) -> None:
    _, text = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    servers = load_text(tmp_path, text).servers
    for server in servers:
        addresses = [listen.address for listen in server.listens if isinstance(listen.address, InetAddress)]
        assert {address.host for address in addresses} == {"0.0.0.0", "::"}
        assert len({address.port for address in addresses}) == 1
    offered = {server.protocol: set(server.dialogue.capabilities) for server in servers}
    assert {b"IMAP4rev1", b"IDLE"} <= offered["imap"]
    assert {b"SIZE 31457280", b"8BITMIME", b"PIPELINING"} <= offered["smtp"]


def test_full_configuration_holds_every_default(tmp_path: Path) -> None:
    full = load_text(tmp_path, (ROOT / "conf" / "mailworker.full.conf").read_text(encoding="utf-8"))
    minimal = load_text(tmp_path, MINIMAL)
    assert full.core == minimal.core
    assert full.events == minimal.events
    assert without_position(full) == without_position(minimal)


def test_full_configuration_names_every_directive() -> None:
    text = (ROOT / "conf" / "mailworker.full.conf").read_text(encoding="utf-8")
    named = set(re.findall(r"^ *#?([a-z0-9_]+)\b", text, re.MULTILINE))
    assert len(directives()) > 50
    assert directives() - named == set()


def without_position(settings: Settings) -> list[str]:
    return [re.sub(r"where='[^']*'", "", repr(server)) for server in settings.servers]


def directives() -> set[str]:
    modules = [import_module(f"{config.__name__}.{found.name}") for found in iter_modules(config.__path__)]
    return {command.name for module in modules for command in getattr(module, "COMMANDS", ())}
