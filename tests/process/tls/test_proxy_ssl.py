"""What -t says of the files for backends over TLS; nginx has the same directives for HTTP."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.process.conftest import Install
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.daemon import ServerUnavailable, find_program
from tests.support.process import configuration

NGINX = """
events {{}}
http {{ server {{ listen 127.0.0.1:1; location / {{ proxy_pass https://127.0.0.1:1; {directives} }} }} }}
"""
GOOD = "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key good.key;"

SAME_AS_NGINX = {
    "certificate missing": "proxy_ssl_certificate missing; proxy_ssl_certificate_key good.key;",
    "certificate is junk": "proxy_ssl_certificate junk; proxy_ssl_certificate_key good.key;",
    "certificate without a key": "proxy_ssl_certificate good.crt;",
    "key missing": "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key missing;",
    "key is junk": "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key junk;",
    "key of another certificate": "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key other.key;",
    "key with no good password": (
        "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key encrypted.key; proxy_ssl_password_file wrong;"
    ),
    "passwords missing": f"{GOOD} proxy_ssl_password_file missing;",
    "ciphers": "proxy_ssl_ciphers NONE:SUCH;",
    "ciphers before the certificate": (
        "proxy_ssl_ciphers NONE:SUCH; proxy_ssl_certificate missing; proxy_ssl_certificate_key good.key;"
    ),
    "nobody to trust": f"{GOOD} proxy_ssl_verify on;",
    "command unknown": "proxy_ssl_conf_command Foo bar;",
    "command with a bad value": "proxy_ssl_conf_command MinProtocol x;",
    "command with a missing file": "proxy_ssl_conf_command Certificate missing;",
    "command of a server": "proxy_ssl_conf_command DHParameters missing;",
}

NO_FILE = (
    "BIO_new_file() failed (SSL: error:80000002:system library::No such file or directory:"
    "calling fopen(@missing, r) error:10000080:BIO routines::no such file)"
)
NO_START = "(SSL: error:0480006C:PEM routines::no start line:Expecting: {})"
VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate "

# nginx 1.27.4 and later; Debian's 1.22.1 reads these files by other calls.
NEWER_TEXTS = {
    f"{VERIFY} missing;": f'cannot load certificate "@missing": {NO_FILE}',
    f"{VERIFY} junk;": f'cannot load certificate "@junk": PEM_read_bio_X509_AUX() failed '
    f"{NO_START.format('TRUSTED CERTIFICATE')}",
    f"{VERIFY} good.crt; proxy_ssl_crl missing;": f'cannot load CRL "@missing": {NO_FILE}',
    f"{VERIFY} good.crt; proxy_ssl_crl junk;": f'cannot load CRL "@junk": PEM_read_bio_X509_CRL() failed '
    f"{NO_START.format('X509 CRL')}",
}


@pytest.fixture
def files(folder: Path, ecdsa: Certificate, client_certificate: Certificate) -> Path:
    """The folder of the configuration, with files that are good and others."""
    files = folder / "conf"
    files.mkdir()
    key = load_pem_private_key(ecdsa.key.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    content = {
        "good.crt": ecdsa.certificate.read_bytes(),
        "good.key": ecdsa.key.read_bytes(),
        "other.key": client_certificate.key.read_bytes(),
        "encrypted.key": encrypted,
        "right": b"one\nsecret\n",
        "wrong": b"one\ntwo\n",
        "junk": b"junk\n",
    }
    for name, data in content.items():
        (files / name).write_bytes(data)
        (files / name).chmod(0o600)
    return files


def we_say(install: Install, port: int, directives: str, switch: str = "on") -> subprocess.CompletedProcess[bytes]:
    return install(configuration(port, server=f"proxy_ssl {switch}; {directives}")).run("-t")


def refusal(said: bytes) -> str:
    """The text after [emerg], of which there is one."""
    (line,) = [line for line in said.decode().splitlines() if "[emerg]" in line]
    return line.partition("[emerg] ")[2]


def nginx_says(files: Path, directives: str) -> str:
    try:
        program = find_program("nginx")
    except ServerUnavailable as error:
        pytest.skip(str(error))
    path = files / "nginx.conf"
    path.write_text(NGINX.format(directives=directives))
    command = [program, "-t", "-p", str(files), "-c", str(path), "-e", os.devnull]
    return refusal(subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).stderr)


@pytest.mark.oracle
@pytest.mark.parametrize("case", SAME_AS_NGINX)
def test_the_text_is_the_one_of_nginx(install: Install, port: int, files: Path, case: str) -> None:
    tested = we_say(install, port, SAME_AS_NGINX[case])
    assert tested.returncode == 1
    ours = refusal(tested.stderr).replace("mailworker.conf", "nginx.conf")
    theirs = nginx_says(files, SAME_AS_NGINX[case])
    assert re.sub(r"nginx\.conf:\d+", "", ours) == re.sub(r"nginx\.conf:\d+", "", theirs)


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO < (3, 0), reason="OpenSSL 1.1.1 has other error numbers")
@pytest.mark.parametrize("directives", NEWER_TEXTS)
def test_the_text_is_the_one_of_a_newer_nginx(install: Install, port: int, files: Path, directives: str) -> None:
    tested = we_say(install, port, directives, "starttls")
    assert refusal(tested.stderr) == NEWER_TEXTS[directives].replace("@", f"{files}/")
    assert tested.stderr.decode().endswith(f"configuration file {files}/mailworker.conf test failed\n")


@pytest.mark.parametrize(
    "directives",
    [
        GOOD,
        f"{GOOD} {VERIFY} good.crt; proxy_ssl_name mail.example.com; proxy_ssl_server_name on;",
        "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key encrypted.key; proxy_ssl_password_file right;",
        "proxy_ssl_conf_command Certificate good.crt; proxy_ssl_conf_command PrivateKey good.key;",
        "proxy_ssl_conf_command Options ServerPreference; proxy_ssl_conf_command ClientCAFile good.crt;",
        # Without proxy_ssl_verify nobody looks at them.
        "proxy_ssl_trusted_certificate missing; proxy_ssl_crl missing;",
    ],
)
@pytest.mark.usefixtures("files")
def test_what_can_be_used_is_told_nothing_of(install: Install, port: int, directives: str) -> None:
    tested = we_say(install, port, directives)
    assert tested.returncode == 0, tested.stderr
    warnings = [line for line in tested.stderr.decode().splitlines() if "[" in line]
    assert all(" expires on " in line for line in warnings)  # it is one for tests


@pytest.mark.usefixtures("files")
def test_no_file_is_looked_at_where_it_is_off(install: Install, port: int) -> None:
    wrong = "proxy_ssl_certificate missing; proxy_ssl_certificate_key missing; proxy_ssl_ciphers NONE:SUCH;"
    assert we_say(install, port, wrong, "off").returncode == 0


def test_data_is_never_repeated(install: Install, port: int, files: Path) -> None:
    certificate, key, other = ((files / name).read_text() for name in ("good.crt", "good.key", "other.key"))
    cases = (
        (f'proxy_ssl_certificate "data:{key}"; proxy_ssl_certificate_key good.key;', 1),
        (f'proxy_ssl_certificate "data:{key}";', 1),
        (f'proxy_ssl_certificate good.crt; proxy_ssl_certificate_key "data:{certificate}";', 1),
        (f'proxy_ssl_certificate good.crt; proxy_ssl_certificate_key "data:{other}";', 1),
        (f'proxy_ssl_certificate "data:{certificate}"; proxy_ssl_certificate_key "data:{key}";', 0),
    )
    for directives, code in cases:
        tested = we_say(install, port, directives)
        assert tested.returncode == code, tested.stderr
        assert (b'"data:"' in tested.stderr) is bool(code)
        assert not any(line in tested.stderr.decode() for line in (certificate + key + other).splitlines())


def test_a_dump_names_files_of_keys_and_shows_none(install: Install, port: int, files: Path) -> None:
    encrypted = (
        "proxy_ssl_certificate good.crt; proxy_ssl_certificate_key encrypted.key; proxy_ssl_password_file right;"
    )
    dumped = install(configuration(port, server=f"proxy_ssl on; {encrypted}")).run("-T")
    assert dumped.returncode == 0
    assert dumped.stdout.startswith(b"# configuration file ")
    assert encrypted.encode() in dumped.stdout
    shown = (dumped.stdout + dumped.stderr).splitlines()
    hidden = [line for name in ("encrypted.key", "right") for line in (files / name).read_bytes().splitlines()]
    assert hidden
    assert not set(shown) & set(hidden)


def test_doubts_about_the_certificate_for_backends_are_told_and_do_not_fail_the_test(
    install: Install, port: int, folder: Path, authority: CertificateAuthority
) -> None:
    old = authority.issue_client("old", ecdsa_key(), "mail.example", validity=timedelta(hours=-1))
    old.key.chmod(0o644)
    pair = f"proxy_ssl_certificate {old.certificate}; proxy_ssl_certificate_key {old.key};"
    tested = we_say(install, port, pair)
    first, second = (line for line in tested.stderr.decode().splitlines() if "[warn]" in line)
    assert tested.returncode == 0
    assert first.startswith(f'mailworker: [warn] certificate "{old.certificate}" has expired on ')
    assert second == f'mailworker: [warn] certificate key "{old.key}" is open to others than its owner (mode 0644)'
