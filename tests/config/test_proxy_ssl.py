"""The proxy_ssl* directives."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.errors import ConfigError
from mailworker.model import Level
from tests.config.conftest import Load, LoadServer
from tests.support.settings import proxy_ssl_settings

CERTIFICATE = "proxy_ssl_certificate a.pem; proxy_ssl_certificate_key a.key;"
VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem;"


def settings_of(load_server: LoadServer, directives: str = "") -> ProxySslSettings:
    settings = load_server(f"proxy_ssl on; {directives}").proxy.ssl
    assert settings is not None
    return settings


@pytest.mark.parametrize("switch", ["", "proxy_ssl off;", "proxy_ssl OFF;"])
def test_nothing_is_looked_at_without_tls(load_server: LoadServer, switch: str) -> None:
    wrong = "proxy_ssl_certificate nosuch; proxy_ssl_verify on; proxy_ssl_crl nosuch;"
    assert load_server(f"{switch} {wrong}").proxy.ssl is None


def test_defaults_are_those_of_nginx_s_streams(load_server: LoadServer) -> None:
    assert settings_of(load_server) == proxy_ssl_settings()


def test_values_are_taken_and_files_made_absolute(load_server: LoadServer, tmp_path: Path) -> None:
    (tmp_path / "pass").write_bytes(b"one\ntwo\n")
    directives = """
        proxy_ssl STARTTLS; proxy_ssl_certificate a.pem; proxy_ssl_certificate_key a.key; proxy_ssl_password_file pass;
        proxy_ssl_protocols tlsv1 TLSv1.1; proxy_ssl_protocols SSLv3; proxy_ssl_ciphers ALL;
        proxy_ssl_ecdh_curve X25519;
        proxy_ssl_name mail.example.com; proxy_ssl_server_name on; proxy_ssl_verify on; proxy_ssl_verify_depth 3;
        proxy_ssl_trusted_certificate ca.pem; proxy_ssl_crl ca.crl; proxy_ssl_session_reuse off;
        proxy_ssl_conf_command Options PrioritizeChaCha; proxy_ssl_conf_command VerifyCAFile ca.pem;
    """
    assert load_server(directives).proxy.ssl == ProxySslSettings(
        starttls=True,
        certificate=f"{tmp_path}/a.pem",
        certificate_key=f"{tmp_path}/a.key",
        passwords=(b"one", b"two"),
        protocols=("TLSv1", "TLSv1.1", "SSLv3"),
        ciphers="ALL",
        ecdh_curve="X25519",
        name="mail.example.com",
        server_name=True,
        verify=True,
        verify_depth=3,
        trusted_certificate=f"{tmp_path}/ca.pem",
        crl=f"{tmp_path}/ca.crl",
        session_reuse=False,
        conf_commands=(("Options", "PrioritizeChaCha"), ("VerifyCAFile", f"{tmp_path}/ca.pem")),
    )


@pytest.mark.parametrize("key", ["data:PEM", "engine:a:b", "store:x", "/a.key"])
def test_what_is_no_file_of_the_folder_is_left_alone(load_server: LoadServer, key: str) -> None:
    pair = f"proxy_ssl_certificate data:PEM; proxy_ssl_certificate_key {key};"
    settings = settings_of(load_server, pair)
    assert (settings.certificate, settings.certificate_key) == ("data:PEM", key)


@pytest.mark.parametrize("pair", ['proxy_ssl_certificate ""', 'proxy_ssl_certificate ""; proxy_ssl_certificate_key a'])
def test_an_empty_certificate_is_none(load_text: Load, pair: str) -> None:
    (server,) = load_text(
        f"""events {{}} mail {{ auth_http 127.0.0.1; proxy_ssl on; {CERTIFICATE.replace("_key a.key", "_key b.key")}
        server {{ listen 143; {pair}; }} }}"""
    ).servers
    assert server.proxy.ssl is not None
    assert (server.proxy.ssl.certificate, server.proxy.ssl.certificate_key) == (None, None)


def test_servers_inherit_each_directive_of_its_own(load_text: Load, tmp_path: Path) -> None:
    settings = load_text(
        f"""events {{}} mail {{ auth_http 127.0.0.1; proxy_ssl on; {CERTIFICATE} {VERIFY}
        proxy_ssl_name a.example.com; proxy_ssl_conf_command Options -Bugs;
        server {{ listen 143; }}
        server {{ listen 110; proxy_ssl starttls; proxy_ssl_name b.example.com; proxy_ssl_certificate_key b.key;
                  proxy_ssl_conf_command MinProtocol TLSv1.3; }}
        server {{ listen 25; proxy_ssl off; }} }}"""
    )
    first, second, third = (server.proxy.ssl for server in settings.servers)
    assert first is not None
    assert second is not None
    assert third is None
    assert (first.starttls, first.name, first.certificate_key) == (False, "a.example.com", f"{tmp_path}/a.key")
    assert (second.starttls, second.name, second.certificate_key) == (True, "b.example.com", f"{tmp_path}/b.key")
    assert first.certificate == second.certificate == f"{tmp_path}/a.pem"
    assert first.verify
    assert second.verify
    assert (first.conf_commands, second.conf_commands) == ((("Options", "-Bugs"),), (("MinProtocol", "TLSv1.3"),))


def test_no_certificate_is_wanted_for_clients(load_server: LoadServer) -> None:
    server = load_server("proxy_ssl on;")
    assert (server.ssl, server.proxy.ssl is None) == (None, False)


def test_a_protocol_that_is_named_twice_is_warned_of(load_text: Load, tmp_path: Path) -> None:
    settings = load_text(
        "events {} mail { auth_http 127.0.0.1; server { listen 143;\nproxy_ssl_protocols TLSv1.3 TLSv1.3; } }"
    )
    where = f"{tmp_path}/mailworker.conf:2"
    assert settings.warnings == ((Level.WARN, f'duplicate value "TLSv1.3" in {where}'),)


@pytest.mark.parametrize(
    ("mail", "server", "warned"),
    [
        ("proxy_ssl_verify on;", "", True),
        ("", "proxy_ssl_verify on;", True),
        ("proxy_ssl_verify on;", "proxy_ssl off;", False),
        ("proxy_ssl off;", "proxy_ssl_verify on;", False),
        ("proxy_ssl_verify on;", "proxy_ssl_verify off;", False),
        ("proxy_ssl_verify on; proxy_ssl_trusted_certificate a;", "proxy_ssl starttls;", False),
    ],
)
def test_verification_of_backends_without_tls_is_warned_of(
    load_text: Load, tmp_path: Path, mail: str, server: str, warned: bool
) -> None:
    settings = load_text(f"events {{}} mail {{ auth_http 127.0.0.1; {mail}\nserver {{ listen 143; {server} }} }}")
    where = f"{tmp_path}/mailworker.conf:2"
    warning = (Level.WARN, f'"proxy_ssl_verify" has no effect without "proxy_ssl" in {where}')
    assert settings.warnings == ((warning,) if warned else ())


_FLAGS = ("server_name", "verify", "session_reuse")
_ONCE = {
    "": "on",
    "_certificate": "a.pem",
    "_certificate_key": "a.key",
    "_password_file": "pass",
    "_ciphers": "ALL",
    "_ecdh_curve": "X25519",
    "_name": "a",
    "_server_name": "on",
    "_verify": "on",
    "_verify_depth": "2",
    "_trusted_certificate": "ca.pem",
    "_crl": "ca.crl",
    "_session_reuse": "on",
}
_ALL = (*_ONCE, "_protocols")


@pytest.mark.parametrize(
    ("directives", "message", "line"),
    [
        ("proxy_ssl only;", 'invalid value "only"', 2),
        ("\nproxy_ssl_protocols TLSv1.2 TLSv1.4;", 'invalid value "TLSv1.4"', 3),
        ("proxy_ssl_verify_depth -1;", '"proxy_ssl_verify_depth" directive invalid number', 2),
        ("proxy_ssl_verify_depth deep;", '"proxy_ssl_verify_depth" directive invalid number', 2),
        *(
            (
                f"proxy_ssl_{flag} yes;",
                f'invalid value "yes" in "proxy_ssl_{flag}" directive, it must be "on" or "off"',
                2,
            )
            for flag in _FLAGS
        ),
        *(
            (f"proxy_ssl{name} {value};\nproxy_ssl{name} {value};", f'"proxy_ssl{name}" directive is duplicate', 3)
            for name, value in _ONCE.items()
        ),
        *((f"proxy_ssl{name};", f'invalid number of arguments in "proxy_ssl{name}" directive', 2) for name in _ALL),
        ("proxy_ssl_conf_command Options;", 'invalid number of arguments in "proxy_ssl_conf_command" directive', 2),
        ("proxy_ssl_name a b;", 'invalid number of arguments in "proxy_ssl_name" directive', 2),
        ("proxy_ssl_password_file long;", 'too long line in "{folder}/long"', 2),
        ("\nproxy_ssl_password_file nosuch;", 'open() "{folder}/nosuch" failed (2: No such file or directory)', 3),
        # nginx tells no place of what it finds wrong when the block has ended.
        (
            "proxy_ssl on; proxy_ssl_certificate a.pem;",
            'no "proxy_ssl_certificate_key" is defined for certificate "a.pem"',
            None,
        ),
        (
            "proxy_ssl starttls; proxy_ssl_verify on; proxy_ssl_crl ca.crl;",
            "no proxy_ssl_trusted_certificate for proxy_ssl_verify",
            None,
        ),
        (
            f"proxy_ssl on; proxy_ssl_server_name on; proxy_ssl_name {'a' * 256};",
            "too long proxy_ssl_name for proxy_ssl_server_name",
            None,
        ),
    ],
)
def test_what_cannot_work_is_refused(
    load_text: Load, tmp_path: Path, directives: str, message: str, line: int | None
) -> None:
    (tmp_path / "long").write_bytes(b"a" * 4096)
    (tmp_path / "pass").write_bytes(b"one\n")
    with pytest.raises(ConfigError) as caught:
        load_text(f"events {{}} mail {{ auth_http 127.0.0.1; server {{ listen 143;\n{directives} }} }}")
    assert caught.value.message == message.format(folder=tmp_path)
    assert caught.value.where == (line and f"{tmp_path}/mailworker.conf:{line}")


@pytest.mark.parametrize("name", [*_ALL, "_conf_command"])
def test_the_main_context_has_none_of_them(load_text: Load, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(f"events {{}}\nproxy_ssl{name} a b;")
    assert caught.value.message == f'"proxy_ssl{name}" directive is not allowed here'
    assert caught.value.where == f"{tmp_path}/mailworker.conf:2"


def test_a_certificate_as_data_is_not_repeated(load_server: LoadServer) -> None:
    """Its key may stand in it as well."""
    with pytest.raises(ConfigError) as caught:
        settings_of(load_server, "proxy_ssl_certificate data:SECRET;")
    assert caught.value.message == 'no "proxy_ssl_certificate_key" is defined for certificate "data:"'
