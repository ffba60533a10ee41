from __future__ import annotations

import pytest

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.source import ByBackendSettings, UserFileSettings
from mailworker.config.tree import SecretFile
from mailworker.errors import ConfigError
from tests.config.conftest import Load

SERVER = "server { listen 143; %s }"


def test_a_user_file_is_looked_for_beside_the_configuration(load_text: Load) -> None:
    settings = load_text("events {} mail { auth_user_file users; server { listen 143; } }")
    (server,) = settings.servers
    path = str(settings.path.parent / "users")
    assert server.source == UserFileSettings(path)
    assert settings.secrets == (SecretFile("user file", path),)


@pytest.mark.parametrize(
    ("mail", "server", "kind"),
    [
        ("auth_http 127.0.0.1;", "auth_user_file /u;", UserFileSettings),
        ("auth_user_file /u;", "auth_http 127.0.0.1;", AuthHttpSettings),
        ("auth_user_file /u;", "", UserFileSettings),
        ("auth_user_file /u;", "auth_http_timeout 1s;", UserFileSettings),
        ("auth_http 127.0.0.1;", "", AuthHttpSettings),
        ("auth_upstream on; proxy_pass 127.0.0.1:1;", "", ByBackendSettings),
        ("auth_http 127.0.0.1;", "auth_upstream on; proxy_pass 127.0.0.1:1;", ByBackendSettings),
        ("auth_upstream on; proxy_pass 127.0.0.1:1;", "auth_user_file /u;", UserFileSettings),
        ("auth_http 127.0.0.1; auth_upstream off;", "", AuthHttpSettings),
    ],
)
def test_the_innermost_source_decides(load_text: Load, mail: str, server: str, kind: type[object]) -> None:
    (found,) = load_text(f"events {{}} mail {{ {mail} server {{ listen 143; {server} }} }}").servers
    assert isinstance(found.source, kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "events {} mail {\nserver { listen 143; auth_user_file a; auth_http 127.0.0.1; } }",
            '"auth_http" and "auth_user_file" exclude each other in {path}:2',
        ),
        (
            "events {} mail { auth_user_file a;\nauth_user_file b; server { listen 143; } }",
            '"auth_user_file" directive is duplicate in {path}:2',
        ),
        (
            "events {} mail { auth_user_file a;\nserver { listen 25; smtp_auth plain none; } }",
            '"smtp_auth none" needs "auth_http", not "auth_user_file" in {path}:2',
        ),
        (
            "events {} mail { auth_user_file a; imap_auth plain external;\nserver { listen 143; } }",
            '"imap_auth external" needs "auth_http", not "auth_user_file" in {path}:2',
        ),
        (
            "events {} mail { auth_user_file a; pop3_auth xoauth2;\nserver { listen 110; } }",
            '"pop3_auth xoauth2" needs "auth_http", not "auth_user_file" in {path}:2',
        ),
        (
            "events {} mail { auth_upstream on;\nserver { listen 143; } }",
            '"auth_upstream" needs "proxy_pass" in {path}:2',
        ),
        (
            "events {} mail { auth_upstream on; auth_user_file u; proxy_pass 127.0.0.1:1; server { listen 143; } }",
            '"auth_user_file" and "auth_upstream" exclude each other in {path}:1',
        ),
        (
            "events {} mail { auth_upstream on; proxy_pass 127.0.0.1:1;\nserver { listen 25; smtp_auth plain none; } }",
            '"smtp_auth none" needs "auth_http", not "auth_upstream" in {path}:2',
        ),
        (
            "events {} mail { auth_upstream on; proxy_pass 127.0.0.1:1;\nserver { listen 110; pop3_auth apop; } }",
            '"pop3_auth apop" needs "auth_http", not "auth_upstream" in {path}:2',
        ),
        (
            "events {} mail { auth_upstream on; proxy_pass 127.0.0.1:1;\nserver { listen 143; auth_upstream off; } }",
            'no "auth_http" is defined for server in {path}:2, '
            '"proxy_pass" alone does not decide about logins: is "auth_upstream on" missing?',
        ),
        ("events {} mail {\nserver { listen 143; } }", 'no "auth_http" is defined for server in {path}:2'),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert str(caught.value) == message.replace("{path}", str(caught.value.where).rpartition(":")[0])


@pytest.mark.parametrize("directives", ["imap_auth plain login cram-md5;", "smtp_auth plain none;"])
def test_a_protocol_of_another_server_does_not_matter(load_text: Load, directives: str) -> None:
    assert load_text(f"events {{}} mail {{ auth_user_file a; {directives} server {{ listen 143; }} }}").servers
