"""`auth_policy` and its companions."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.auth_policy import AuthPolicySettings, PolicyCheck
from mailworker.errors import ConfigError
from mailworker.model import InetAddress
from tests.config.conftest import Load, LoadServer

SERVICE = "auth_policy http://127.0.0.1:4001/?x=1; auth_policy_nonce_file nonce;"


@pytest.fixture(autouse=True)
def nonce(tmp_path: Path) -> None:
    (tmp_path / "nonce").write_bytes(b" a nonce \n")
    (tmp_path / "empty").write_bytes(b"\n")


def policy(load_server: LoadServer, directives: str) -> AuthPolicySettings:
    settings = load_server(directives).policy
    assert settings is not None
    return settings


def test_nobody_is_asked_by_default(load_server: LoadServer) -> None:
    assert load_server("auth_policy_timeout 3s;").policy is None


def test_the_defaults_are_dovecots(load_server: LoadServer) -> None:
    settings = policy(load_server, SERVICE)
    assert (settings.address, settings.host, settings.uri) == (InetAddress("127.0.0.1", 4001), b"127.0.0.1", b"/?x=1")
    assert (settings.timeout, settings.check, settings.report, settings.closed) == (
        2.0,
        PolicyCheck.BEFORE,
        True,
        False,
    )
    assert (settings.asks_before, settings.asks_after, settings.nonce) == (True, False, b"a nonce")
    assert "a nonce" not in repr(settings)


def test_all_of_it_can_be_said(load_server: LoadServer) -> None:
    settings = policy(
        load_server,
        SERVICE + "auth_policy_timeout 500ms; auth_policy_check both; auth_policy_report off; auth_policy_fail closed;"
        "auth_policy_header Authorization 'Basic x'; auth_policy_attribute port $remote_port;"
        "auth_policy_attribute site a;",
    )
    assert (settings.timeout, settings.asks_before, settings.asks_after) == (0.5, True, True)
    assert (settings.report, settings.closed) == (False, True)
    assert settings.headers == ((b"Authorization", b"Basic x"),)
    assert [name for name, _ in settings.attributes] == ["port", "site"]
    assert settings.has_variables


def test_a_server_can_ask_nobody(load_text: Load) -> None:
    settings = load_text(
        f"events {{}} mail {{ auth_http 127.0.0.1; {SERVICE} server {{ listen 143; }}"
        "server { listen 110; auth_policy off; } }"
    )
    assert [server.policy is None for server in settings.servers] == [False, True]


def test_others_should_not_read_the_nonce(load_text: Load, tmp_path: Path) -> None:
    settings = load_text(f"events {{}} mail {{ auth_http 127.0.0.1; {SERVICE} server {{ listen 143; }} }}")
    assert [(secret.kind, secret.path) for secret in settings.secrets] == [("nonce file", str(tmp_path / "nonce"))]


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        ("auth_policy 127.0.0.1:1;", '"auth_policy" requires "auth_policy_nonce_file"'),
        ("auth_policy 127.0.0.1:x;", 'invalid port in auth_policy "127.0.0.1:x"'),
        (f"{SERVICE} auth_policy 127.0.0.1;", '"auth_policy" directive is duplicate'),
        ("auth_policy_nonce_file empty;", "no nonce in"),
        ("auth_policy_nonce_file absent;", r"absent.* failed \(2: No such file or directory\)"),
        ("auth_policy_check never;", 'invalid value "never"'),
        ("auth_policy_fail maybe;", 'invalid value "maybe"'),
        (f"{SERVICE} auth_policy_attribute a $nothing;", 'unknown "nothing" variable'),
    ],
)
def test_what_cannot_be_is_refused(load_server: LoadServer, directives: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_server(directives)


def test_nobody_can_be_asked_behind_a_backend_that_decides(load_text: Load) -> None:
    mail = f"auth_upstream on; proxy_pass 127.0.0.1:143; {SERVICE} auth_policy_check after;"
    with pytest.raises(ConfigError, match='"auth_policy_check after" needs another source of logins'):
        load_text(f"events {{}} mail {{ {mail} server {{ listen 143; }} }}")
