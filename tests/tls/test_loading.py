"""What cannot be used is told in nginx's words; texts that an older nginx has otherwise are spelt out."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from mailworker.errors import ConfigError
from mailworker.model import VerifyClient
from mailworker.native.tls.version import running_with
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate
from tests.support.daemon import ServerUnavailable, find_program
from tests.support.nginx import find_module
from tests.support.settings import ssl_settings

CONFIGURATION = """
load_module {module};
events {{}}
mail {{
    auth_http 127.0.0.1:1;
    server {{ listen 127.0.0.1:1993 ssl; protocol imap; {directives} }}
}}
"""

GOOD = "ssl_certificate good.crt; ssl_certificate_key good.key; "

# The settings that differ from a good server's, and the same for nginx. @ is the folder.
SAME_AS_NGINX: dict[str, tuple[dict[str, Any], str]] = {
    "certificate missing": (
        {"certificates": ("@missing",)},
        "ssl_certificate missing; ssl_certificate_key good.key;",
    ),
    "certificate is junk": ({"certificates": ("@junk",)}, "ssl_certificate junk; ssl_certificate_key good.key;"),
    "certificate is a folder": ({"certificates": ("@",)}, "ssl_certificate @; ssl_certificate_key good.key;"),
    "chain is broken": (
        {"certificates": ("@broken-chain",)},
        "ssl_certificate broken-chain; ssl_certificate_key good.key;",
    ),
    "key missing": ({"certificate_keys": ("@missing",)}, "ssl_certificate good.crt; ssl_certificate_key missing;"),
    "key is junk": ({"certificate_keys": ("@junk",)}, "ssl_certificate good.crt; ssl_certificate_key junk;"),
    "key of another certificate": (
        {"certificate_keys": ("@other.key",)},
        "ssl_certificate good.crt; ssl_certificate_key other.key;",
    ),
    "key with no good password": (
        {"certificate_keys": ("@encrypted.key",), "passwords": (b"one", b"two")},
        "ssl_certificate good.crt; ssl_certificate_key encrypted.key; ssl_password_file passwords;",
    ),
    "engine without a key": (
        {"certificate_keys": ("engine:foo",)},
        "ssl_certificate good.crt; ssl_certificate_key engine:foo;",
    ),
    "engine unknown": (
        {"certificate_keys": ("engine:foo:bar",)},
        "ssl_certificate good.crt; ssl_certificate_key engine:foo:bar;",
    ),
    "ciphers": ({"ciphers": "NONE:SUCH"}, GOOD + "ssl_ciphers NONE:SUCH;"),
    "curves": ({"ecdh_curve": "no-such-curve"}, GOOD + "ssl_ecdh_curve no-such-curve;"),
    "dhparam missing": ({"dhparam": "@missing"}, GOOD + "ssl_dhparam missing;"),
    "dhparam is junk": ({"dhparam": "@junk"}, GOOD + "ssl_dhparam junk;"),
    "dhparam is too small": ({"dhparam": "@small.dh"}, GOOD + "ssl_dhparam small.dh;"),
    "command unknown": ({"conf_commands": (("Foo", "bar"),)}, GOOD + "ssl_conf_command Foo bar;"),
    "command with a bad value": (
        {"conf_commands": (("MinProtocol", "x"),)},
        GOOD + "ssl_conf_command MinProtocol x;",
    ),
    "command with a missing file": (
        {"conf_commands": (("Certificate", "missing"),)},
        GOOD + "ssl_conf_command Certificate missing;",
    ),
    "command whose key does not match": (
        {"conf_commands": (("PrivateKey", "other.key"),)},
        GOOD + "ssl_conf_command PrivateKey other.key;",
    ),
}

VERIFY: dict[str, Any] = {"verify_client": VerifyClient.ON, "client_certificate": "@good.crt"}
NO_FILE = (
    "BIO_new_file() failed (SSL: error:80000002:system library::No such file or directory:"
    "calling fopen(@missing, r) error:10000080:BIO routines::no such file)"
)
NO_START = "(SSL: error:0480006C:PEM routines::no start line:Expecting: {})"

# nginx 1.27.4 and later; Debian's 1.22.1 reads these files by other calls, or shows the content of data:.
NEWER_TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "client certificate missing": (
        VERIFY | {"client_certificate": "@missing"},
        f'cannot load certificate "@missing": {NO_FILE}',
    ),
    "client certificate is junk": (
        VERIFY | {"client_certificate": "@junk"},
        f'cannot load certificate "@junk": PEM_read_bio_X509_AUX() failed {NO_START.format("TRUSTED CERTIFICATE")}',
    ),
    "trusted certificate missing": (
        VERIFY | {"trusted_certificate": "@missing"},
        f'cannot load certificate "@missing": {NO_FILE}',
    ),
    "CRL missing": (VERIFY | {"crl": "@missing"}, f'cannot load CRL "@missing": {NO_FILE}'),
    "CRL is junk": (
        VERIFY | {"crl": "@junk"},
        f'cannot load CRL "@junk": PEM_read_bio_X509_CRL() failed {NO_START.format("X509 CRL")}',
    ),
    "certificate as data": (
        {"certificates": ("data:secret",)},
        f'cannot load certificate "data:": PEM_read_bio_X509_AUX() failed {NO_START.format("TRUSTED CERTIFICATE")}',
    ),
    "key as data": (
        {"certificate_keys": ("data:secret",)},
        'cannot load certificate key "data:": PEM_read_bio_PrivateKey() failed (SSL: error:1E08010C:DECODER routines'
        "::unsupported:No supported data to decode. Input type: PEM)",
    ),
}

needs_openssl_3 = pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO < (3, 0), reason="OpenSSL 1.1.1 has other error numbers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ecdsa: Certificate, client_certificate: Certificate) -> Path:
    folder = tmp_path_factory.mktemp("files")
    certificate = ecdsa.certificate.read_bytes()
    key = load_pem_private_key(ecdsa.key.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / "good.crt").write_bytes(certificate)
    (folder / "good.key").write_bytes(ecdsa.key.read_bytes())
    (folder / "other.key").write_bytes(client_certificate.key.read_bytes())
    (folder / "encrypted.key").write_bytes(encrypted)
    (folder / "passwords").write_text("one\ntwo\n")
    (folder / "junk").write_text("junk\n")
    (folder / "broken-chain").write_bytes(certificate + certificate[:100] + b"\n-----END CERTIFICATE-----\n")
    command = ["openssl", "dhparam", "-out", str(folder / "small.dh"), "512"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def nginx_says(folder: Path, directives: str) -> str:
    """The text that nginx -t prints after [emerg]."""
    try:
        program = find_program("nginx")
    except ServerUnavailable as error:
        pytest.skip(str(error))
    module = find_module("mail")
    if module is None:
        pytest.skip("nginx's mail module is not installed")
    path = folder / "nginx.conf"
    path.write_text(CONFIGURATION.format(module=module, directives=directives))
    command = [program, "-t", "-p", str(folder), "-c", str(path), "-e", os.devnull]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stderr
    return next(line for line in said.splitlines() if "[emerg]" in line).partition("[emerg] ")[2]


def we_say(folder: Path, changes: dict[str, Any]) -> str:
    placed = {name: _placed(folder, value) for name, value in changes.items()}
    good = Certificate(folder / "good.crt", folder / "good.key")
    with pytest.raises(ConfigError) as raised:
        TlsContext.build(ssl_settings(good, **placed), b"imap", conf_prefix=folder)
    return str(raised.value)


def _placed(folder: Path, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_placed(folder, item) for item in value)
    return value.replace("@", f"{folder}/") if isinstance(value, str) else value


@pytest.mark.oracle
@pytest.mark.parametrize("case", SAME_AS_NGINX)
def test_the_text_is_the_one_of_nginx(folder: Path, case: str) -> None:
    changes, directives = SAME_AS_NGINX[case]
    assert we_say(folder, changes) == nginx_says(folder, _placed(folder, directives))


def test_a_server_takes_what_only_clients_heed(folder: Path) -> None:
    """As nginx, which has one set of commands for both."""
    good = Certificate(folder / "good.crt", folder / "good.key")
    commands = (("VerifyMode", "Peer"), ("Options", "ServerPreference"))
    assert TlsContext.build(ssl_settings(good, conf_commands=commands), b"imap").warnings == ()


@needs_openssl_3
@pytest.mark.parametrize("case", NEWER_TEXTS)
def test_the_text_is_the_one_of_a_newer_nginx(folder: Path, case: str) -> None:
    changes, text = NEWER_TEXTS[case]
    assert we_say(folder, changes) == _placed(folder, text)


def test_a_data_value_is_never_repeated(folder: Path) -> None:
    certificate, key = (folder / "good.crt").read_text(), (folder / "other.key").read_text()
    cases = [
        {"certificates": (f"data:{key}",)},
        {"certificate_keys": (f"data:{certificate}",)},
        {"certificate_keys": (f"data:{key}",)},
    ]
    for changes in cases:
        said = we_say(folder, changes)
        assert '"data:"' in said
        assert "BEGIN" not in said
        assert not any(line in said for line in (certificate + key).splitlines())


@pytest.mark.parametrize(
    "changes",
    [
        {"ciphers": "\udcff"},
        {"ecdh_curve": "\udcff"},
        {"conf_commands": (("\udcff", "x"),)},
        {"conf_commands": (("MinProtocol", "\udcff"),)},
        {"certificates": ("data:\udcff",)},
        {"certificate_keys": ("data:\udcff",)},
        {"certificate_keys": ("engine:\udcff:\udcff",)},
        {"certificate_keys": ("store:\udcff",)},
    ],
)
def test_bytes_that_are_no_text_are_refused_like_any_other(folder: Path, changes: dict[str, Any]) -> None:
    """A configuration has them as surrogate escapes."""
    assert we_say(folder, changes)


def test_a_store_without_a_key(folder: Path) -> None:
    said = we_say(folder, {"certificate_keys": (f"store:file:{folder}/good.crt",)})
    assert said == f'cannot load certificate key "store:file:{folder}/good.crt": OSSL_STORE_load() failed'
    assert "OSSL_STORE_open() failed" in we_say(folder, {"certificate_keys": ("store:nowhere:x",)})


def test_surplus_keys_are_ignored(folder: Path) -> None:
    good = Certificate(folder / "good.crt", folder / "good.key")
    keys = (str(good.key), str(folder / "missing"))
    assert TlsContext.build(ssl_settings(good, certificate_keys=keys), b"imap").warnings == ()


@pytest.mark.parametrize("name", ["X25519MLKEM768", "SecP256r1MLKEM768", "MLKEM768"])
def test_a_group_that_the_library_lacks_is_named_with_its_version(folder: Path, name: str) -> None:
    good = Certificate(folder / "good.crt", folder / "good.key")
    context = TlsContext.build(ssl_settings(good, ecdh_curve="X25519:prime256v1"), b"imap")
    assert context.settings.ecdh_curve == "X25519:prime256v1"
    if tuple(map(int, running_with().split()[1].split(".")[:2])) >= (3, 5):
        assert TlsContext.build(ssl_settings(good, ecdh_curve=f"{name}:X25519"), b"imap")
        return
    with pytest.raises(ConfigError) as caught:
        TlsContext.build(ssl_settings(good, ecdh_curve=f"{name}:X25519"), b"imap")
    assert f'"{name}" needs OpenSSL 3.5 or later, this is {running_with()}' in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        TlsContext.build(ssl_settings(good, ecdh_curve="nonsense"), b"imap")
    assert "3.5" not in str(caught.value)
