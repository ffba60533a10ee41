"""The ssl module's directives."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.session_cache import SessionCache
from mailworker.config.ssl import SslSettings
from mailworker.config.zones import SharedZone
from mailworker.errors import ConfigError
from mailworker.model import Level, Starttls, VerifyClient
from tests.config.conftest import Load, LoadServer

ZONE = SharedZone("a", 2**20, "ssl_session_cache")

CERTIFICATE = "ssl_certificate a.pem; ssl_certificate_key a.key;"


def settings_of(load_server: LoadServer, directives: str) -> SslSettings:
    settings = load_server(f"starttls on; {CERTIFICATE} {directives}").ssl
    assert settings is not None
    return settings


def test_nothing_is_looked_at_without_tls(load_server: LoadServer) -> None:
    assert load_server("ssl_certificate nosuch; ssl_verify_client on; ssl_session_ticket_key nosuch;").ssl is None


def test_defaults_are_nginx_s(load_server: LoadServer, tmp_path: Path) -> None:
    settings = settings_of(load_server, "")
    assert settings.certificates == (f"{tmp_path}/a.pem",)
    assert settings.certificate_keys == (f"{tmp_path}/a.key",)
    assert (settings.protocols, settings.ciphers) == (("TLSv1.2", "TLSv1.3"), "HIGH:!aNULL:!MD5")
    assert (settings.ecdh_curve, settings.dhparam, settings.passwords) == ("auto", None, None)
    assert (settings.verify_client, settings.verify_depth) == (VerifyClient.OFF, 1)
    assert (settings.client_certificate, settings.trusted_certificate, settings.crl) == (None, None, None)
    assert settings.session_cache == SessionCache()
    assert (settings.session_timeout, settings.session_tickets, settings.session_ticket_keys) == (300, True, ())


def test_values_are_taken(load_server: LoadServer, tmp_path: Path) -> None:
    (tmp_path / "ticket").write_bytes(b"k" * 48)
    settings = settings_of(
        load_server,
        """
        ssl_certificate data:PEM; ssl_certificate_key engine:a:b; ssl_certificate /b.pem; ssl_certificate_key store:x;
        ssl_protocols tlsv1 TLSv1.1; ssl_protocols SSLv3; ssl_ciphers ALL; ssl_prefer_server_ciphers on;
        ssl_ecdh_curve X25519; ssl_dhparam dh.pem; ssl_certificate_compression on; ssl_verify_client Optional;
        ssl_verify_depth 3; ssl_client_certificate ca.pem; ssl_trusted_certificate ""; ssl_crl /crl.pem;
        ssl_conf_command Options PrioritizeChaCha; ssl_conf_command VerifyCAFile ca.pem; ssl_session_timeout 1M;
        ssl_session_tickets off; ssl_session_ticket_key ticket;
        """,
    )
    assert settings.certificates == (f"{tmp_path}/a.pem", "data:PEM", "/b.pem")
    assert settings.certificate_keys == (f"{tmp_path}/a.key", "engine:a:b", "store:x")
    assert (settings.protocols, settings.ciphers) == (("TLSv1", "TLSv1.1", "SSLv3"), "ALL")
    assert (settings.prefer_server_ciphers, settings.certificate_compression) == (True, True)
    assert (settings.ecdh_curve, settings.dhparam) == ("X25519", f"{tmp_path}/dh.pem")
    assert (settings.verify_client, settings.verify_depth) == (VerifyClient.OPTIONAL, 3)
    assert settings.client_certificate == f"{tmp_path}/ca.pem"
    assert (settings.trusted_certificate, settings.crl) == (None, "/crl.pem")
    assert settings.conf_commands == (("Options", "PrioritizeChaCha"), ("VerifyCAFile", f"{tmp_path}/ca.pem"))
    assert (settings.session_timeout, settings.session_tickets) == (2_592_000, False)
    assert settings.session_ticket_keys == (b"k" * 48,)


@pytest.mark.parametrize(
    ("words", "cache"),
    [
        ("off", SessionCache(off=True)),
        ("none", SessionCache()),
        ("builtin", SessionCache(builtin=20480)),
        ("builtin:7", SessionCache(builtin=7)),
        ("shared:a:1m", SessionCache(shared=ZONE)),
        ("builtin:7 shared:a:1m", SessionCache(builtin=7, shared=ZONE)),
        (
            "shared:a:1m; ssl_session_cache builtin",
            SessionCache(builtin=20480, shared=ZONE),
        ),
        ("shared:a:1m none", SessionCache()),
        ("off builtin", SessionCache(builtin=20480)),
    ],
)
def test_session_cache(load_server: LoadServer, words: str, cache: SessionCache) -> None:
    assert settings_of(load_server, f"ssl_session_cache {words};").session_cache == cache


def test_zones_are_shared_by_name(load_text: Load) -> None:
    settings = load_text(
        f"""events {{}} mail {{ auth_http 127.0.0.1; {CERTIFICATE} ssl_session_cache shared:A:1m;
        server {{ listen 993 ssl; }}
        server {{ listen 995 ssl; ssl_session_cache builtin shared:B:32k; }}
        server {{ listen 465 ssl; ssl_session_cache shared:A:1024k; }} }}"""
    )
    first, second = SharedZone("A", 2**20, "ssl_session_cache"), SharedZone("B", 32768, "ssl_session_cache")
    assert settings.zones == (first, second)
    assert [server.ssl and server.ssl.session_cache.shared for server in settings.servers] == [first, second, first]


@pytest.mark.parametrize(
    ("content", "passwords"),
    [
        (b"", (b"",)),
        (b"\r\n\n", (b"",)),
        (b"one\r\ntwo\n\n three ", (b"one", b"two", b" three ")),
        (b"a" * 4095, (b"a" * 4095,)),
    ],
)
def test_password_file(load_server: LoadServer, tmp_path: Path, content: bytes, passwords: tuple[bytes, ...]) -> None:
    (tmp_path / "pass").write_bytes(content)
    assert settings_of(load_server, "ssl_password_file pass;").passwords == passwords


@pytest.mark.parametrize(
    ("directives", "message", "line"),
    [
        ("listen 993 ssl;", 'no "ssl_certificate" is defined for the "listen ... ssl" directive', 2),
        ("starttls only;\n", 'no "ssl_certificate" is defined for the "starttls" directive', 2),
        ("starttls on;\nlisten 993\nssl;", 'no "ssl_certificate" is defined for the "listen ... ssl" directive', 4),
        ("listen 993 ssl;\nstarttls on;", 'no "ssl_certificate" is defined for the "listen ... ssl" directive', 2),
        ("\nssl on;", 'no "ssl_certificate" is defined for the "ssl" directive', 3),
        (
            "starttls on; ssl_certificate a;",
            'no "ssl_certificate_key" is defined for the "starttls" directive',
            2,
        ),
        (
            "starttls on; ssl_certificate a; ssl_certificate data:SECRET; ssl_certificate_key c;",
            'no "ssl_certificate_key" is defined for certificate "data:" and the "starttls" directive',
            2,
        ),
        (
            "starttls on; ssl_certificate a; ssl_certificate b; ssl_certificate_key c;",
            'no "ssl_certificate_key" is defined for certificate "b" and the "starttls" directive',
            2,
        ),
        (
            f"starttls on; {CERTIFICATE} ssl_verify_client on;",
            "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client",
            None,
        ),
        ("ssl_session_cache shared:a:1k;", 'session cache "shared:a:1k" is too small', 2),
        ("ssl_session_cache shared:a;", 'invalid session cache "shared:a"', 2),
        (
            "ssl_session_cache shared:a:1m; ssl_session_cache shared:a:2m;",
            'the size 2097152 of shared memory zone "a" conflicts with already declared size 1048576',
            2,
        ),
        ("ssl on; starttls on;", '"ssl" directive conflicts with "starttls"', 2),
        ("starttls on; ssl on;", '"starttls" directive conflicts with "ssl on"', 2),
        ("ssl_password_file long;", 'too long line in "{folder}/long"', 2),
        ("ssl_password_file nosuch;", 'open() "{folder}/nosuch" failed (2: No such file or directory)', 2),
        (
            f"starttls on; {CERTIFICATE} ssl_session_ticket_key long;\n\n",
            '"{folder}/long" must be 48 or 80 bytes',
            4,
        ),
    ],
)
def test_what_cannot_work_is_refused(
    load_text: Load, tmp_path: Path, directives: str, message: str, line: int | None
) -> None:
    (tmp_path / "long").write_bytes(b"a" * 4096)
    with pytest.raises(ConfigError) as caught:
        load_text(f"events {{}} mail {{ auth_http 127.0.0.1; server {{ listen 143;\n{directives} }} }}")
    assert caught.value.message == message.format(folder=tmp_path)
    assert caught.value.where == (line and f"{tmp_path}/mailworker.conf:{line}")


def test_optional_no_ca_needs_no_authority(load_server: LoadServer) -> None:
    assert settings_of(load_server, "ssl_verify_client optional_no_ca;").client_certificate is None


def test_a_trusted_authority_is_enough_to_verify_clients(load_server: LoadServer) -> None:
    settings = settings_of(load_server, "ssl_verify_client on; ssl_trusted_certificate ca.pem;")
    assert (settings.client_certificate, settings.verify_client) == (None, VerifyClient.ON)


def test_the_obsolete_ssl_directive_makes_every_listen_tls(load_text: Load) -> None:
    settings = load_text(
        f"""events {{}} mail {{ auth_http 127.0.0.1; {CERTIFICATE} ssl on;
        server {{ listen 143; listen 993 ssl; }}
        server {{ listen 110; ssl off; starttls on; }} }}"""
    )
    first, second = settings.servers
    assert [listen.ssl for listen in first.listens] == [True, True]
    assert [listen.ssl for listen in second.listens] == [False]
    assert (second.starttls, second.ssl is None) == (Starttls.ON, False)
    level, text = settings.warnings[0]
    assert level is Level.WARN
    assert text.startswith('the "ssl" directive is deprecated, use the "listen ... ssl" directive instead in ')
