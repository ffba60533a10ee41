"""Rows: what is made of them, and that the defaults which they tell are those that hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from mailworker.config import load
from mailworker.config.command import ONE, Command
from mailworker.config.drafts import BOTH, Context, Scope
from mailworker.config.load import directives
from mailworker.config.rows import commands, frozen, inherited, merged, row
from mailworker.config.settings import Settings
from mailworker.config.slots import FLAG, MILLISECONDS, WORDS, size
from mailworker.config.tree import Parser
from mailworker.config.values import BUFFER
from mailworker.errors import ConfigError
from mailworker.mail.protocols.table import PROTOCOLS
from tests.config.conftest import Load

# What is nothing, or the system's, without its directive. Blocks have no default either.
WITHOUT_DEFAULT = {
    *("include", "load_module", "thread_pool", "listen", "protocol", "env", "working_directory", "debug_points"),
    *("worker_cpu_affinity", "worker_rlimit_nofile", "worker_rlimit_core", "worker_shutdown_timeout"),
    *("timer_resolution", "ssl_engine", "debug_connection", "set_real_ip_from", "auth_http", "auth_http_header"),
    *("auth_user_file", "log_format"),
    *("ssl_certificate", "ssl_certificate_key", "ssl_certificate_directory", "ssl_password_file", "ssl_dhparam"),
    *("ssl_client_certificate", "ssl_trusted_certificate", "ssl_crl", "ssl_conf_command", "ssl_session_ticket_key"),
    "smtp_capabilities",
    *("proxy_ssl_certificate", "proxy_ssl_certificate_key", "proxy_ssl_password_file", "proxy_ssl_name"),
    *("proxy_ssl_trusted_certificate", "proxy_ssl_crl", "proxy_ssl_conf_command", "set", "proxy_pass"),
    *("allow", "deny", "session_table", "status_zone"),
    *("auth_policy_attribute", "auth_policy_header", "auth_policy_nonce_file"),
    *("limit_auth", "limit_auth_exempt", "limit_auth_zone", "limit_conn", "limit_conn_zone"),
}
# The main context's, and that of `mail`, which is the main context's; that of `mail`, and of `status`: the host's name.
TWO_FOLD = {"error_log", "server_name"}
# Their defaults depend on the system, and are told by what they stand for.
FOUND_OUT = {"user", "server_name", "use"}

COMMANDS = [command for command in directives(PROTOCOLS) if not command.block]
WITH_DEFAULT = [command for command in COMMANDS if command.default is not None and command.name not in FOUND_OUT]
TLS = "ssl_certificate a; ssl_certificate_key a; starttls on; proxy_ssl on;"


@dataclass(slots=True)
class SampleDraft:
    sample_buffer: int = row(BOTH, ONE, size(BUFFER), 4096)
    sample_words: tuple[str, ...] = row(BOTH, ONE, WORDS, (), into="all_words")
    sample_flag: bool = row(BOTH, ONE, FLAG, False, into=None)
    elsewhere: bool = inherited(False)
    sample_delay: float = row(BOTH, ONE, MILLISECONDS, 0.0, spelled="none")


@dataclass(frozen=True, slots=True)
class SampleSettings:
    buffer: int
    all_words: tuple[str, ...]
    delay: float
    extra: str


def configuration(command: Command | None, default: str | None = None, tls: str = "") -> str:
    directive = f"{command.name} {default};" if command else ""
    blocks = (Context.MAIN, Context.EVENTS, Context.SERVER, Context.MAIL, Context.STATUS)
    place = next(block for block in blocks if command is None or block in command.contexts)
    main, events, server, mail, status = (directive if block is place else "" for block in blocks)
    inside = f"auth_http 127.0.0.1:9; {tls} {mail}\nserver {{ listen 1; %s {server} }}"
    return f"{main} status {{ {status} }} events {{ {events} }} mail {{ {inside} }}"


def essence(settings: Settings) -> Settings:
    """Without the configuration's own text, and what it was warned of."""
    return replace(settings, files=(), warnings=())


def test_every_directive_tells_its_default_or_has_none() -> None:
    silent = {command.name for command in COMMANDS if command.default is None}
    assert silent - TWO_FOLD == WITHOUT_DEFAULT
    assert {command.name for command in COMMANDS if command.default == ""} == set()


@pytest.mark.parametrize("command", WITH_DEFAULT, ids=lambda command: command.name)
@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_a_default_in_its_own_words_changes_nothing(load_text: Load, command: Command, protocol: str) -> None:
    tls = "" if command.name in ("starttls", "proxy_ssl") else TLS
    with_it, without = configuration(command, command.default, tls), configuration(None, tls=tls)
    told, silent = (essence(load_text(text % f"protocol {protocol};")) for text in (with_it, without))
    assert told == silent


@pytest.mark.parametrize(
    ("name", "default"),
    [
        *(("timeout", "60s"), ("proxy_timeout", "24h"), ("accept_mutex_delay", "500ms"), ("smtp_greeting_delay", "0")),
        *(("ssl_session_timeout", "5m"), ("worker_processes", "1"), ("pop3_client_buffer", "16k"), ("xclient", "on")),
        *(("imap_auth", "plain"), ("smtp_auth", "plain login"), ("imap_capabilities", "IMAP4 IMAP4rev1 UIDPLUS")),
        *(("ssl_session_cache", "none"), ("ssl_protocols", "TLSv1.2 TLSv1.3"), ("ssl_verify_client", "off")),
        *(("proxy_smtp_xclient_guard", "anonymous"), ("server_name", "hostname"), ("resolver", "off")),
        *(("user", "nobody nobody"), ("error_log", "logs/error.log error")),
    ],
)
def test_defaults_are_told_in_words_that_people_write(name: str, default: str) -> None:
    assert [command.default for command in COMMANDS if command.name == name and command.default] == [default]


def test_a_module_of_rows_is_one_entry_more(load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MODULES", (*load.MODULES, SimpleNamespace(COMMANDS=commands(SampleDraft))))
    assert load_text("events {} mail { sample_buffer 1k; sample_words a; sample_words b; sample_flag on; }")
    with pytest.raises(ConfigError, match='"sample_buffer" directive is duplicate'):
        load_text("events {} mail { sample_buffer 1k; sample_buffer 1k; }")
    with pytest.raises(ConfigError, match='"sample_flag" directive is not allowed here'):
        load_text("sample_flag on;")
    with pytest.raises(ConfigError, match='invalid number of arguments in "sample_words" directive'):
        load_text("events {} mail { sample_words a b; }")
    with pytest.raises(ConfigError, match='unknown directive "elsewhere"'):
        load_text("events {} mail { elsewhere on; }")


def test_rows_tell_a_default_that_is_there_or_spelled() -> None:
    assert {command.name: command.default for command in commands(SampleDraft)} == {
        "sample_buffer": "4k",
        "sample_words": None,
        "sample_flag": "off",
        "sample_delay": "none",
    }


def test_a_server_inherits_value_by_value() -> None:
    mail = Scope(Context.MAIL)
    server = Scope(Context.SERVER, mail)
    assert merged(SampleDraft, server, mail).sample_buffer == 4096
    mail.draft(SampleDraft).sample_buffer = 1
    mail.draft(SampleDraft).elsewhere = True
    server.draft(SampleDraft).sample_words = ("a",)
    assert merged(SampleDraft, server, mail) == SampleDraft(1, ("a",), False, True, 0.0)
    server.draft(SampleDraft).sample_buffer = 2
    assert merged(SampleDraft, server, mail).sample_buffer == 2


def test_settings_take_what_rows_hold_and_what_is_computed(parser: Parser) -> None:
    draft = SampleDraft(1, ("a",), True, True, 2.0)
    assert frozen(SampleSettings, draft, parser, "sample_", extra="x") == SampleSettings(1, ("a",), 2.0, "x")
    computed = frozen(SampleSettings, draft, parser, "sample_", extra="x", delay=3.0)
    assert computed == SampleSettings(1, ("a",), 3.0, "x")


def test_a_row_without_a_setting_is_a_bug_that_shows(parser: Parser) -> None:
    with pytest.raises(TypeError, match="sample_buffer"):
        frozen(SampleSettings, SampleDraft(1, (), False, False, 0.0), parser, extra="x")
