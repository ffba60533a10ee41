"""Configurations with variables, for the tests of their blocks."""

from __future__ import annotations

from mailworker.config.settings import MailServer
from mailworker.native.regex import Regex
from mailworker.variables.template import parse
from tests.config.conftest import Load
from tests.variables.facts import Session


def servers(load_text: Load, mail: str, *directives: str) -> tuple[MailServer, ...]:
    blocks = "".join(
        f"server {{ listen {143 + index}; protocol imap; {text} }}\n" for index, text in enumerate(directives)
    )
    settings = load_text(f"events {{}} mail {{ auth_http 127.0.0.1;\n{mail}\n{blocks} }}", compile_regex=Regex)
    return settings.servers


def value(server: MailServer, text: str, session: Session | None = None) -> bytes:
    return server.variables.bind().bind(parse(text.encode()))(session or Session())
