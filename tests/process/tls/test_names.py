"""Several servers on one address, in the real binary."""

from __future__ import annotations

import poplib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509

from tests.process.conftest import Install
from tests.process.tls.clients import GOODBYE, PARALLEL, client_context, s_client
from tests.process.tls.servers import configuration, key_pair, start
from tests.support.auth import AuthService, rejected
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import Mailworker


@pytest.fixture(scope="module")
def pairs(authority: CertificateAuthority) -> dict[str, Certificate]:
    """Certificates of two names."""
    return {
        "a.example": authority.issue_server("a.example", ecdsa_key(), ("a.example",)),
        "b.example": authority.issue_server("b.example", rsa_key(), ("b.example", "*.b.example")),
    }


def server(listen: str, protocol: str, name: str, pair: Certificate, directives: str = "") -> str:
    return f"server {{ listen {listen}; protocol {protocol}; server_name {name}; {key_pair(pair)} {directives} }}"


@contextmanager
def connected(
    port: int, name: str | None, alpn: str = "", client: ssl.SSLContext | None = None
) -> Iterator[ssl.SSLSocket]:
    context = client or client_context(ssl.TLSVersion.TLSv1_3)
    if alpn:
        context.set_alpn_protocols([alpn])
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        yield secure


def subject(client: ssl.SSLSocket) -> str:
    """The common name of a server's certificate."""
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


def test_the_name_chooses_certificate_greeting_and_backend(
    install: Install, ports: Ports, pairs: dict[str, Certificate]
) -> None:
    services = {name: AuthService(rejected(name.encode())) for name in pairs}
    try:
        mailworker = start(install, configuration(*(
            server(
                f"127.0.0.1:{ports['smtps']} {option}", "smtp", f"{name} *.{name}", pairs[name],
                f"auth_http {services[name].address}/{name}; smtp_auth {method};",
            )
            for name, option, method in (("a.example", "ssl", "plain"), ("b.example", "", "login plain"))
        )))  # fmt: skip
        for asked, found in ((None, "a"), ("b.example", "b"), ("x.b.example", "b"), ("c.example", "a")):
            name = f"{found}.example"
            with connected(ports["smtps"], asked) as client:
                assert subject(client) == f"CN={name}"
                stream = client.makefile("rwb", buffering=0)
                assert stream.readline() == f"220 {name} ESMTP ready\r\n".encode()
                stream.write(b"EHLO client\r\n")
                reply = [stream.readline(), stream.readline()]
                methods = b"LOGIN PLAIN" if found == "b" else b"PLAIN"
                expected = {b"PLAIN": b"250 AUTH PLAIN\r\n", b"LOGIN PLAIN": b"250 AUTH PLAIN LOGIN\r\n"}[methods]
                assert reply == [f"250-{name}\r\n".encode(), expected]
                stream.write(b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n")
                assert stream.readline() == f"535 5.7.0 {name}\r\n".encode()
                assert services[name].header(b"Auth-User") == b"user"
                assert services[name].header(b"Auth-SSL-Server-Name") == (asked.encode() if asked else None)
        assert not mailworker.lines(r"\[(?:crit|error|alert)\]")
    finally:
        for service in services.values():
            service.stop()


@pytest.mark.parametrize("asked", ["a.example", "b.example"])
def test_before_starttls_all_is_the_default_servers_and_after_it_the_names(
    install: Install, ports: Ports, pairs: dict[str, Certificate], asked: str
) -> None:
    listen = f"127.0.0.1:{ports['smtp']}"
    start(
        install,
        configuration(
            server(listen, "smtp", "a.example", pairs["a.example"], "starttls on; smtp_capabilities ONE;"),
            server(listen, "smtp", "b.example", pairs["b.example"], "starttls on; smtp_capabilities TWO;"),
        ),
    )
    with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=PATIENCE) as client:
        assert client.ehlo()[1].split(b"\n")[0] == b"a.example"
        assert client.has_extn("ONE")
        vars(client)["_host"] = asked  # what smtplib asks for
        client.starttls(context=client_context(ssl.TLSVersion.TLSv1_2))
        assert client.ehlo()[1].split(b"\n")[0] == asked.encode()
        assert client.has_extn({"a.example": "ONE", "b.example": "TWO"}[asked])


@pytest.mark.parametrize("asked", ["a.example", "b.example"])
def test_apop_after_stls_answers_the_greeting_that_came_before(
    install: Install, ports: Ports, pairs: dict[str, Certificate], asked: str
) -> None:
    service = AuthService(rejected(b"no"))
    try:
        more = f"starttls on; pop3_auth apop; auth_http {service.address}/;"
        listen = f"127.0.0.1:{ports['pop3']}"
        start(install, configuration(*(server(listen, "pop3", name, pair, more) for name, pair in pairs.items())))
        client = poplib.POP3("127.0.0.1", ports["pop3"], timeout=PATIENCE)
        vars(client)["host"] = asked  # what poplib asks for
        client.stls(client_context(ssl.TLSVersion.TLSv1_2))
        with pytest.raises(poplib.error_proto, match="no"):
            client.apop("user", "secret")
        client.close()
        assert service.header(b"Auth-Salt") == client.welcome.rpartition(b" ")[2]
    finally:
        service.stop()


def test_without_tls_the_default_server_serves_all(
    install: Install, ports: Ports, pairs: dict[str, Certificate]
) -> None:
    listen = f"127.0.0.1:{ports['smtp']}"
    start(
        install,
        configuration(
            server(listen, "smtp", "a.example", pairs["a.example"]),
            server(f"{listen} default_server", "smtp", "b.example", pairs["b.example"]),
        ),
    )
    with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=PATIENCE) as client:
        assert client.ehlo()[1].split(b"\n")[0] == b"b.example"


def test_one_port_serves_all_protocols(install: Install, ports: Ports, pairs: dict[str, Certificate]) -> None:
    port = ports["all"]
    start(
        install,
        configuration(
            server(f"127.0.0.1:{port} ssl", "imap", "a.example", pairs["a.example"]),
            server(f"127.0.0.1:{port} ssl", "imap", "b.example", pairs["b.example"]),
            server(f"127.0.0.1:{port} ssl", "pop3", "b.example", pairs["b.example"]),
            server(f"127.0.0.1:{port} ssl", "smtp", "a.example", pairs["a.example"]),
            server(f"127.0.0.1:{port} ssl", "sieve", "a.example", pairs["a.example"]),
        ),
    )
    for alpn, greeting, name in (
        ("", b"* OK IMAP4 ready", "a"), ("imap", b"* OK IMAP4 ready", "a"), ("pop3", b"+OK POP3 ready", "b"),
        ("smtp", b"220 a.example ESMTP", "a"), ("submission", b"220 a.example ESMTP", "a"),
        ("managesieve", b'"IMPLEMENTATION"', "a"),
    ):  # fmt: skip
        with connected(port, "a.example", alpn) as client:
            assert client.recv(100).startswith(greeting)
            assert (client.selected_alpn_protocol() or "", subject(client)) == (alpn, f"CN={name}.example")
    with pytest.raises((ssl.SSLError, ConnectionError)) as caught, connected(port, "a.example", "h2") as client:
        client.recv(1)
    assert "NO_APPLICATION_PROTOCOL" in str(caught.value).upper().replace(" ", "_")


def test_a_client_resumes_under_its_own_name_on_every_worker(
    install: Install, ports: Ports, pairs: dict[str, Certificate]
) -> None:
    listen = f"127.0.0.1:{ports['imaps']} ssl"
    start(
        install,
        configuration(
            *(server(listen, "imap", name, pair) for name, pair in pairs.items()),
            workers=2,
            mail="ssl_session_cache shared:SSL:1m;",
        ),
        workers=2,
    )
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = client_context(version)
        kept = {}
        for name in pairs:
            with connected(ports["imaps"], name, client=client) as first:
                first.recv(100)
                kept[name] = first.session
        for name in pairs:
            for other in pairs:
                for _ in range(PARALLEL):
                    with (
                        socket.create_connection(("127.0.0.1", ports["imaps"]), PATIENCE) as plain,
                        client.wrap_socket(plain, server_hostname=other, session=kept[name]) as again,
                    ):
                        again.recv(100)
                        assert again.session_reused is (name == other)
                        assert subject(again) == f"CN={other}"


def test_openssls_client_is_led_by_its_servername(
    install: Install, ports: Ports, pairs: dict[str, Certificate]
) -> None:
    start(install, configuration(*(
        server(f"127.0.0.1:{ports[protocol]}", protocol, name, pair, "starttls on;")
        for protocol in ("imap", "pop3", "smtp") for name, pair in pairs.items()
    )))  # fmt: skip
    for protocol in ("imap", "pop3", "smtp"):
        for options, found in ((("-servername", "b.example"), "b"), (("-noservername",), "a")):
            goodbye = GOODBYE if protocol == "imap" else b"QUIT\r\n"
            said = s_client(ports[protocol], "-starttls", protocol, *options, data=goodbye)
            assert f"subject=CN = {found}.example" in said


def test_a_watched_client_is_watched_at_every_server(
    install: Install, ports: Ports, pairs: dict[str, Certificate]
) -> None:
    text = configuration(*(
        server(f"127.0.0.1:{ports['imaps']} ssl", "imap", name, pair) for name, pair in pairs.items()
    ))  # fmt: skip
    mailworker: Mailworker = start(install, text.replace("events { }", "events { debug_connection 127.0.0.1; }"))
    with connected(ports["imaps"], "b.example") as client:
        client.recv(100)
        mailworker.await_line(r"\[debug\] .* TLSv1.3 with ")


@pytest.mark.parametrize("starttls", [False, True], ids=["TLS", "STARTTLS"])
def test_rules_are_those_of_the_name_that_is_asked_for(
    install: Install, ports: Ports, pairs: dict[str, Certificate], starttls: bool
) -> None:
    port = ports["smtp" if starttls else "smtps"]
    more = "starttls on;" if starttls else ""
    mailworker = start(
        install,
        configuration(
            server(f"127.0.0.1:{port}{'' if starttls else ' ssl'}", "smtp", "a.example", pairs["a.example"], more),
            server(f"127.0.0.1:{port}", "smtp", "b.example", pairs["b.example"], f"{more} deny 127.0.0.1;"),
        ),
    )
    for asked, served in (("a.example", True), ("b.example", False)):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
            if starttls:
                stream = plain.makefile("rwb", buffering=0)
                assert stream.readline().startswith(b"220 a.example")
                stream.write(b"STARTTLS\r\n")
                assert stream.readline().startswith(b"220 ")
            with client_context(ssl.TLSVersion.TLSv1_3).wrap_socket(plain, server_hostname=asked) as client:
                client.sendall(b"NOOP\r\n" if starttls else b"")
                assert bool(client.recv(100)) is served
    assert len(mailworker.lines("access forbidden by rule while initializing session, client: 127.0.0.1")) == 1
