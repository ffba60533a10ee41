"""A protocol that configurations can have: its directives, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITIES, DialogueSettings, auth_methods
from mailworker.config.drafts import BOTH
from mailworker.config.load import load
from mailworker.config.protocol import ProtocolModule, ProtocolsDraft
from mailworker.config.rows import row
from mailworker.config.slots import size
from mailworker.config.values import BUFFER
from mailworker.errors import ConfigError
from mailworker.model import AuthMethod


@dataclass(slots=True)
class DemoDraft:
    demo_client_buffer: int = row(BOTH, ONE, size(BUFFER), 4096)
    demo_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITIES, ())
    demo_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, auth_methods(AuthMethod.PLAIN), (AuthMethod.PLAIN,))


DEMO = ProtocolModule(name="demo", ports=(7, 8), directives=DemoDraft)


def settings(path: Path, mail: str, server: str) -> tuple[str, DialogueSettings]:
    path.write_text(f"events {{ }} mail {{ auth_http 127.0.0.1; {mail} server {{ {server} }} }}")
    loaded = load(path, protocols={"demo": DEMO}, prefix=path.parent)
    return loaded.servers[0].protocol, loaded.servers[0].dialogue


def test_its_directives_are_the_rows_of_its_draft() -> None:
    assert [command.name for command in DEMO.commands] == ["demo_client_buffer", "demo_capabilities", "demo_auth"]


@pytest.mark.parametrize(
    ("mail", "server", "size", "words"),
    [
        ("", "", 4096, ()),
        ("demo_client_buffer 8k; demo_capabilities A;", "", 8192, (b"A",)),
        ("demo_client_buffer 8k; demo_capabilities A;", "demo_client_buffer 2k;", 2048, (b"A",)),
        ("demo_capabilities A;", "demo_capabilities B C;", 4096, (b"B", b"C")),
    ],
)
def test_a_server_s_directives_come_before_those_of_mail(
    tmp_path: Path, mail: str, server: str, size: int, words: tuple[bytes, ...]
) -> None:
    _, dialogue = settings(tmp_path / "conf", mail, f"listen 1007; protocol demo; {server}")
    assert dialogue == DialogueSettings(AuthMethod.PLAIN, words, size)


@pytest.mark.parametrize("port", DEMO.ports)
def test_a_listen_on_its_port_gives_a_server_the_protocol(tmp_path: Path, port: int) -> None:
    assert settings(tmp_path / "conf", "", f"listen {port};")[0] == "demo"


def test_a_port_that_is_nobody_s_gives_none(tmp_path: Path) -> None:
    known = ProtocolsDraft({"demo": DEMO})
    assert [known.of_port(port) for port in (7, 8, 9)] == ["demo", "demo", None]
    with pytest.raises(ConfigError, match="unknown mail protocol for server"):
        settings(tmp_path / "conf", "", "listen 9;")
