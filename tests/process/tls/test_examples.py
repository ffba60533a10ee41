"""The examples of nginx's documentation of the ssl module: each loads as it stands, and serves.

Only what the examples leave out ("...") is filled in, and what they cannot know: folders and ports.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.process.conftest import Install
from tests.process.tls.clients import client_context, connected, s_client, visit
from tests.process.tls.servers import configuration, key_pair, start, tls_server
from tests.support.certificates import Certificate
from tests.support.ports import Ports
from tests.support.process import GREETING

PROXY = """\
worker_processes auto;

events {
}

error_log logs/error.log info;

mail {
    auth_http 127.0.0.1:9/;
    server_name mail.example;

    server {
        listen              993 ssl;

        ssl_protocols       TLSv1 TLSv1.1 TLSv1.2;
        ssl_ciphers         AES128-SHA:AES256-SHA:RC4-SHA:DES-CBC3-SHA:RC4-MD5;
        ssl_certificate     /usr/local/nginx/conf/cert.pem;
        ssl_certificate_key /usr/local/nginx/conf/cert.key;
        ssl_session_cache   shared:SSL:10m;
        ssl_session_timeout 10m;

        protocol imap;
    }
}
"""

PAIRS = """
    listen              993 ssl;
    ssl_certificate     example.com.rsa.crt;
    ssl_certificate_key example.com.rsa.key;

    ssl_certificate     example.com.ecdsa.crt;
    ssl_certificate_key example.com.ecdsa.key;

    protocol imap;
"""

PASSWORDS = """\
events {
}

error_log logs/error.log info;

mail {
    auth_http 127.0.0.1:9/;
    ssl_password_file /etc/keys/global.pass;

    server {
        server_name mail1.example.com;
        ssl_certificate_key /etc/keys/first.key;

        listen 993 ssl;
        protocol imap;
        ssl_certificate /etc/keys/certificate;
    }

    server {
        server_name mail2.example.com;

        # named pipe can also be used instead of a file
        ssl_password_file /etc/keys/fifo;
        ssl_certificate_key /etc/keys/second.key;

        listen 994 ssl;
        protocol imap;
        ssl_certificate /etc/keys/certificate;
    }
}
"""


def encrypted(certificate: Certificate, password: bytes) -> bytes:
    key = load_pem_private_key(certificate.key.read_bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))


def copy(certificate: Certificate, to_certificate: Path, to_key: Path) -> None:
    to_certificate.write_bytes(certificate.certificate.read_bytes())
    to_key.write_bytes(certificate.key.read_bytes())


def of_one_worker(text: str, port: int, folder: Path) -> str:
    """The example, made to listen on `port` and to look for its files in `folder`."""
    text = text.replace(" 993 ", f" 127.0.0.1:{port} ").replace("worker_processes auto;", "worker_processes 1;")
    return text.replace("/usr/local/nginx/conf", str(folder)).replace("/etc/keys", str(folder))


def test_the_proxy_of_the_introduction(install: Install, port: int, folder: Path, rsa: Certificate) -> None:
    copy(rsa, folder / "cert.pem", folder / "cert.key")
    start(install, of_one_worker(PROXY, port, folder))
    client = client_context(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("AES256-SHA:AES128-SHA:@SECLEVEL=0")
    with connected(port, client) as first:
        assert first.recv(100) == GREETING
        assert first.cipher() == ("AES256-SHA", "SSLv3", 256)
        session = first.session
    assert visit(port, client, session).reused
    client.set_ciphers("ECDHE")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        visit(port, client)
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        visit(port, client_context(ssl.TLSVersion.TLSv1_3))


@pytest.mark.parametrize(("option", "version"), [("-tls1", "TLSv1"), ("-tls1_1", "TLSv1.1")])
def test_old_versions_are_spoken_where_ciphers_allow_them(
    install: Install, port: int, folder: Path, rsa: Certificate, option: str, version: str
) -> None:
    copy(rsa, folder / "cert.pem", folder / "cert.key")
    text = PROXY.replace("AES128-SHA:AES256-SHA:RC4-SHA:DES-CBC3-SHA:RC4-MD5", "DEFAULT@SECLEVEL=0")
    start(install, of_one_worker(text, port, folder))
    printed = s_client(port, option, "-cipher", "DEFAULT:@SECLEVEL=0")
    assert f"Protocol  : {version}\n" in printed
    assert "* BYE" in printed


@pytest.mark.parametrize(("algorithm", "name"), [("aRSA", "rsa.pss"), ("aECDSA", "ecdsa")])
def test_rsa_beside_ecdsa(
    install: Install, port: int, folder: Path, rsa: Certificate, ecdsa: Certificate, algorithm: str, name: str
) -> None:
    mailworker = install("")
    for certificate, kind in ((rsa, "rsa"), (ecdsa, "ecdsa")):
        conf = folder / "conf"
        copy(certificate, conf / f"example.com.{kind}.crt", conf / f"example.com.{kind}.key")
    mailworker.configure(configuration(of_one_worker(f"server {{{PAIRS}}}", port, folder)))
    mailworker.start()
    printed = s_client(port, "-tls1_2", "-cipher", algorithm)
    assert re.search(rf"Peer signature type: {name}", printed, re.IGNORECASE)
    assert "* BYE" in printed


def test_passwords_from_a_file_and_from_a_named_pipe(
    install: Install, port: int, ports: Ports, folder: Path, ecdsa: Certificate
) -> None:
    other = ports["other"]
    (folder / "certificate").write_bytes(ecdsa.certificate.read_bytes())
    (folder / "first.key").write_bytes(encrypted(ecdsa, b"first"))
    (folder / "second.key").write_bytes(encrypted(ecdsa, b"second"))
    (folder / "global.pass").write_bytes(b"wrong\nfirst\n")
    os.mkfifo(folder / "fifo")
    writer = threading.Thread(target=(folder / "fifo").write_bytes, args=(b"second\n",))
    writer.start()
    text = of_one_worker(PASSWORDS, port, folder).replace(" 994 ", f" 127.0.0.1:{other} ")
    start(install, text)
    writer.join()
    client = client_context(ssl.TLSVersion.TLSv1_3)
    visit(port, client)
    visit(other, client)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_ticket_keys_change_places(
    install: Install, port: int, folder: Path, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    pair = key_pair(ecdsa)
    current, previous = "ssl_session_ticket_key current.key;", "ssl_session_ticket_key previous.key;"
    mailworker = install("")
    (folder / "conf" / "current.key").write_bytes(os.urandom(80))
    (folder / "conf" / "previous.key").write_bytes(os.urandom(48))
    client = client_context(version)

    def resumes(directives: str, session: ssl.SSLSession | None) -> bool:
        mailworker.configure(configuration(tls_server(port, f"{pair} {directives}")))
        mailworker.start()
        reused = visit(port, client, session).reused
        mailworker.stop()
        return reused

    mailworker.configure(configuration(tls_server(port, f"{pair} {previous}")))
    mailworker.start()
    session = visit(port, client).session
    mailworker.stop()
    assert resumes(current + previous, session)
    assert not resumes(current, session)


@pytest.mark.parametrize(
    "directives",
    [
        "ssl_ciphers ALL:!aNULL:!EXPORT56:RC4+RSA:+HIGH:+MEDIUM:+LOW:+SSLv2:+EXP;",
        "ssl_ecdh_curve prime256v1:secp384r1;",
        "ssl_session_cache builtin:1000 shared:SSL:10m;",
        "ssl_protocols SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;",
    ],
)
def test_directives_shown_alone(install: Install, port: int, ecdsa: Certificate, directives: str) -> None:
    start(install, configuration(tls_server(port, f"{key_pair(ecdsa)} {directives}")))
    visit(port, client_context(ssl.TLSVersion.TLSv1_2))


def test_the_obsolete_directive_turns_tls_on_with_a_warning(install: Install, port: int, ecdsa: Certificate) -> None:
    server = f"server {{ listen 127.0.0.1:{port}; protocol imap; ssl on; {key_pair(ecdsa)} }}"
    mailworker = start(install, configuration(server))
    assert 'the "ssl" directive is deprecated, use the "listen ... ssl" directive instead in ' in mailworker.output
    visit(port, client_context(ssl.TLSVersion.TLSv1_3))
