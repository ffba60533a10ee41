"""`ssl_certificate_directory` in the real binary: names, layouts, renewal without a reload."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
from functools import partial
from pathlib import Path

import psutil
import pytest
from cryptography import x509

from tests.process.conftest import Install
from tests.process.tls.clients import client_context, s_client
from tests.process.tls.folders import Certbot, Secret, put
from tests.process.tls.servers import configuration, key_pair, reload, start
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, Mailworker, is_called


def server(port: int, *directives: str) -> str:
    return f"server {{ listen 127.0.0.1:{port} ssl; protocol imap; {' '.join(directives)} }}"


def shown(port: int, name: str | None, client: ssl.SSLContext | None = None) -> x509.Certificate:
    """The certificate that a client gets."""
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        (client or client_context(ssl.TLSVersion.TLSv1_2)).wrap_socket(plain, server_hostname=name) as secure,
    ):
        assert secure.recv(100) == GREETING
        der = secure.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)


def subject(port: int, name: str | None) -> str:
    return shown(port, name).subject.rfc4514_string().removeprefix("CN=")


def refused(port: int, name: str | None) -> bool:
    try:
        shown(port, name)
    except ssl.SSLError as error:
        assert "UNRECOGNIZED_NAME" in str(error)
        return True
    return False


def issue(maker: CertificateAuthority, name: str, *others: str) -> Certificate:
    return maker.issue_server(f"{name}-{os.urandom(4).hex()}", ecdsa_key(), (name, *others))


def test_a_name_gets_its_certificate_whatever_the_layout(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    top = folder / "certs"
    Certbot(top, maker).issue("certbot.example", "*.certbot.example")
    put(issue(maker, "traefik.example"), top / "flat", "traefik.example.crt", "traefik.example.key")
    put(issue(maker, "haproxy.example"), top / "flat", "haproxy.example.pem")
    put(issue(maker, "acme.example"), top / "acme.example_ecc", "fullchain.cer", "acme.example.key")
    Secret(top / "secret").write(issue(maker, "kubernetes.example"))
    default = issue(maker, "default.example")
    mailworker = start(install, configuration(server(port, key_pair(default), f"ssl_certificate_directory {top};")))
    for name in ("certbot", "traefik", "haproxy", "acme", "kubernetes", "default"):
        assert subject(port, f"{name}.example") == f"{name}.example"
    assert subject(port, "WWW.Certbot.example") == "certbot.example"
    assert subject(port, "a.www.certbot.example") == subject(port, None) == "default.example"
    assert mailworker.lines(r"\[warn\]") == []


@pytest.mark.parametrize(
    ("directives", "unknown"),
    [("ssl_reject_handshake on;", None), ("server_name own.example;", "own.example"), ("server_name x.example;", None)],
)
def test_an_unknown_name_without_a_certificate_of_the_block(
    install: Install, port: int, folder: Path, maker: CertificateAuthority, directives: str, unknown: str | None
) -> None:
    for known in ("own.example", "other.example"):
        put(issue(maker, known), folder / "certs", f"{known}.pem")
    start(install, configuration(server(port, f"ssl_certificate_directory {folder}/certs;", directives)))
    assert subject(port, "other.example") == "other.example"
    for name in ["unknown.example", None]:
        if unknown is None:
            assert refused(port, name)
        else:
            assert subject(port, name) == unknown


def test_the_clients_algorithms_choose_between_pairs_of_a_name(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    for kind, key in (("rsa", rsa_key()), ("ecdsa", ecdsa_key())):
        put(maker.issue_server(kind, key, ("two.example",)), folder / "certs", f"two.example.{kind}.pem")
    start(install, configuration(server(port, f"ssl_certificate_directory {folder}/certs;")))
    for ciphers, kind in (("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "EC")):
        client = client_context(ssl.TLSVersion.TLSv1_2)
        client.set_ciphers(ciphers)
        assert kind in type(shown(port, "two.example", client).public_key()).__name__


def _is_another(port: int, earlier: int) -> bool:
    return serial(port, "a.example") != earlier


def serial(port: int, name: str) -> int:
    return shown(port, name).serial_number


def test_a_renewal_needs_no_reload_and_costs_no_session(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    """certbot's, without a hook; workers have no right to read any of it."""
    certbot = Certbot(folder / "letsencrypt", maker)
    certbot.issue("a.example")
    (folder / "letsencrypt").chmod(0o700)
    text = configuration(server(port, f"ssl_certificate_directory {certbot.live};"), workers=2).replace(
        "worker_processes", "worker_sandbox on; worker_processes"
    )
    mailworker = start(install, text, workers=2)
    workers = mailworker.await_workers(2)
    first = serial(port, "a.example")
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        client_context(ssl.TLSVersion.TLSv1_3).wrap_socket(plain, server_hostname="a.example") as session,
    ):
        certbot.issue("a.example")
        certbot.issue("b.example")
        mailworker.await_true(lambda: not _refused_or(first, port), "the renewal")
        for _ in range(8):
            assert serial(port, "a.example") != first
            assert subject(port, "b.example") == "b.example"
        assert mailworker.await_workers(2) == workers
        os.kill(workers[0], signal.SIGKILL)
        mailworker.alerts.append("exited on signal 9")
        mailworker.await_workers(2, workers[:1])
        for _ in range(8):
            assert serial(port, "a.example") != first
        del session
    assert mailworker.lines(r"\[notice\] .*certificates below \".*/live\" have changed, 2 in all")
    shutil.rmtree(certbot.live / "b.example")
    mailworker.await_true(lambda: refused(port, "b.example"), "the end of a name")
    assert mailworker.lines(r"\[(?:warn|error|crit)\]") == []


def _refused_or(first: int, port: int) -> bool:
    """Whether some worker has not heard of the renewal yet."""
    return any(refused(port, "b.example") or serial(port, "a.example") == first for _ in range(8))


def test_a_secret_that_is_swapped_is_renewed(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    secret = Secret(folder / "secret")
    secret.write(issue(maker, "a.example"))
    mailworker = start(install, configuration(server(port, f"ssl_certificate_directory {secret.folder};")))
    for _ in range(3):
        earlier = serial(port, "a.example")
        secret.write(issue(maker, "a.example"))
        mailworker.await_true(partial(_is_another, port, earlier), "the swap")
    assert mailworker.lines(r"\[warn\]") == []


def test_what_is_wrong_keeps_the_old_pair_and_is_told_once(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    certs = folder / "certs"
    put(issue(maker, "a.example"), certs, "a.example.crt", "a.example.key")
    mailworker = start(install, configuration(server(port, f"ssl_certificate_directory {certs};")))
    first = serial(port, "a.example")
    (certs / "a.example.crt").write_text("-----BEGIN CERTIFICATE-----\nSecret\n-----END CERTIFICATE-----\n")
    mailworker.await_line(r'\[warn\] .*"/.*/a\.example\.crt" holds a broken certificate or key')
    put(issue(maker, "a.example"), certs, "a.example.crt", "unused.key")
    mailworker.await_line(r'\[warn\] .*"/.*/a\.example\.key" is the key of no certificate beside it')
    assert serial(port, "a.example") == first
    shutil.move(certs, folder / "away")
    mailworker.await_line(r'\[warn\] .*"/.*/certs" could not be read \(2: .*\), its certificates stay as they were')
    assert serial(port, "a.example") == first
    put(issue(maker, "a.example"), certs, "a.example.crt", "a.example.key")
    mailworker.await_true(lambda: serial(port, "a.example") != first, "the return of the folder")
    assert "Secret" not in mailworker.error_log.read_text()
    assert len(mailworker.lines("holds a broken certificate")) == 1


def test_a_reload_keeps_what_was_renewed_and_watches_on(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    certbot = Certbot(folder / "letsencrypt", maker)
    certbot.issue("a.example")
    mailworker = start(install, configuration(server(port, f"ssl_certificate_directory {certbot.live};")))
    for _ in range(2):
        earlier = serial(port, "a.example")
        certbot.issue("a.example")
        mailworker.await_true(partial(_is_another, port, earlier), "the renewal")
        renewed = serial(port, "a.example")
        reload(mailworker)
        assert serial(port, "a.example") == renewed
    readers = [p for p in psutil.Process(mailworker.pid).children() if is_called(p, "file reader")]
    assert len(readers) == 1


def test_a_single_process_renews_too(install: Install, port: int, folder: Path, maker: CertificateAuthority) -> None:
    certbot = Certbot(folder / "letsencrypt", maker)
    certbot.issue("a.example")
    text = configuration(server(port, f"ssl_certificate_directory {certbot.live};"))
    mailworker: Mailworker = install(text.replace("worker_processes 1;", "master_process off;"))
    mailworker.start()
    first = serial(port, "a.example")
    certbot.issue("a.example")
    mailworker.await_true(lambda: serial(port, "a.example") != first, "the renewal")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume_after_a_renewal(
    install: Install, port: int, folder: Path, maker: CertificateAuthority, version: ssl.TLSVersion
) -> None:
    certbot = Certbot(folder / "letsencrypt", maker)
    certbot.issue("a.example")
    text = server(port, f"ssl_certificate_directory {certbot.live};", "ssl_session_cache shared:S:1m;")
    mailworker = start(install, configuration(text, workers=2), workers=2)
    client = client_context(version)

    def come(session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            client.wrap_socket(plain, server_hostname="a.example", session=session) as secure,
        ):
            secure.recv(100)
            return bool(secure.session_reused), secure.session

    _, session = come()
    earlier = serial(port, "a.example")
    certbot.issue("a.example")
    mailworker.await_true(partial(_is_another, port, earlier), "the renewal")
    assert [come(session)[0] for _ in range(8)] == [True] * 8


def test_many_names_at_once_reach_all_workers(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    certs, key, names = folder / "certs", ecdsa_key(), [f"n{number}.example" for number in range(120)]
    certs.mkdir()
    text = server(port, f"ssl_certificate_directory {certs};", "ssl_reject_handshake on;", "starttls off;")
    mailworker = start(install, configuration(text, workers=2), workers=2)
    assert refused(port, names[0])
    for name in names:
        put(maker.issue_server(name, key, (name,)), certs, f"{name}.pem")
    for name in (names[0], names[60], names[-1]):
        mailworker.await_true(lambda name=name: not any(refused(port, name) for _ in range(6)), name)  # type: ignore[misc]
        assert subject(port, name) == name
    assert len(mailworker.lines(rf'\[warn\] .*certificate directory "{certs}" has no certificate$')) == 1
    assert len(mailworker.lines(r"\[(?:warn|error|crit)\]")) == 1


def test_starttls_shows_the_certificate_of_the_name(
    install: Install, port: int, folder: Path, maker: CertificateAuthority
) -> None:
    certbot = Certbot(folder / "letsencrypt", maker)
    for name in ("a.example", "b.example"):
        certbot.issue(name)
    text = f"server {{ listen 127.0.0.1:{port}; protocol imap; starttls on; server_name a.example;"
    start(install, configuration(f"{text} ssl_certificate_directory {certbot.live}; }}"))
    for asked in ("a", "b"):
        assert f"subject=CN = {asked}.example" in s_client(port, "-starttls", "imap", "-servername", f"{asked}.example")
