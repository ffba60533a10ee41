from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from mailworker.config.session_cache import SessionCache
from mailworker.errors import ConnectionLost, TlsError
from mailworker.model import VerifyClient
from mailworker.tls.context import TlsContext
from mailworker.tls.folder_scan import FolderScan
from mailworker.tls.virtual_servers import VirtualServers
from tests.support.certificates import Certificate, CertificateAuthority
from tests.support.settings import ssl_settings
from tests.tls.peers import Pair, build, client_context
from tests.tls.servers import Host, door, door_to, room

Visits = Callable[..., tuple[Pair, str]]


@pytest.fixture
def visit() -> Iterator[Visits]:
    """Shakes hands at a door; gives both ends, and the server that was chosen."""
    with ExitStack() as stack:

        def shake(
            at: VirtualServers[Host],
            name: str | None,
            client: ssl.SSLContext | None = None,
            session: ssl.SSLSession | None = None,
        ) -> tuple[Pair, str]:
            visit = at.selection()
            pair = Pair(visit, client, session, server_name=name)
            stack.callback(pair.close)
            return pair.shake_hands(), visit.server[0]

        yield shake


@pytest.mark.parametrize(
    ("asked", "found"),
    [("a.example", "a.example"), ("A.EXAMPLE", "a.example"), ("b.example", "b.example"), ("c.example", "a.example"),
     (None, "a.example"), ("b.example.", "b.example"), ("192.0.2.1", "a.example")],
)  # fmt: skip
def test_a_name_leads_to_its_server_and_all_else_to_the_default_one(
    asked: str | None, found: str, ecdsa: Certificate, rsa: Certificate, visit: Visits
) -> None:
    at = door_to({"a.example": build(ecdsa), "b.example": build(rsa)})
    pair, host = visit(at, asked)
    assert host == found
    assert pair.server.certificate.key_algorithm == {"a.example": b"EC256", "b.example": b"RSA2048"}[found]
    assert pair.to_server(b"x" * 10) == b"x" * 10
    assert pair.to_client(b"y" * 10) == b"y" * 10


def test_versions_ciphers_and_groups_are_those_of_the_name(ecdsa: Certificate, visit: Visits) -> None:
    old = build(ecdsa, protocols=("TLSv1.2",), ciphers="ECDHE-ECDSA-AES256-GCM-SHA384", ecdh_curve="secp384r1")
    new = build(ecdsa, protocols=("TLSv1.3",))
    at = door_to({"new.example": new, "old.example": old})
    found = {name: visit(at, name)[0].server for name in ("new.example", "old.example")}
    assert {name: server.protocol for name, server in found.items()} == {
        "new.example": "TLSv1.3", "old.example": "TLSv1.2",
    }  # fmt: skip
    assert found["old.example"].cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_who_verifies_clients_is_the_name(
    ecdsa: Certificate, authority: CertificateAuthority, client_certificate: Certificate, visit: Visits
) -> None:
    strict = build(ecdsa, verify_client=VerifyClient.ON, client_certificate=str(authority.path))
    at = door_to({"free.example": build(ecdsa), "strict.example": strict})
    client = client_context(certificate=client_certificate)
    assert visit(at, "free.example", client)[0].server.peer_certificate is None
    found = visit(at, "strict.example", client)[0].server
    assert found.peer_certificate is not None
    assert found.verify_result[0] == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "id"])
@pytest.mark.parametrize("same", [True, False], ids=["one context", "contexts"])
@pytest.mark.parametrize("verified", ["", "a.example", "b.example", "a.example b.example"])
def test_a_session_resumes_under_its_own_name_alone(
    version: ssl.TLSVersion,
    tickets: bool,
    same: bool,
    verified: str,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
    visit: Visits,
) -> None:
    """CVE-2025-23419 and its siblings: nothing but the name tells these servers apart, or only whom they trust."""
    sessions: dict[str, Any] = {"session_cache": SessionCache(builtin=100), "session_tickets": tickets}
    strict: dict[str, Any] = {"verify_client": VerifyClient.ON, "client_certificate": str(authority.path)}

    def context(name: str) -> TlsContext:
        return build(ecdsa, **sessions, **(strict if name in verified.split() else {}))

    first = context("a.example")
    at = door_to({"a.example": first, "b.example": first if same and not verified else context("b.example")})
    client = client_context(certificate=client_certificate)
    client.minimum_version = client.maximum_version = version
    kept = {}
    for name in ("a.example", "b.example", None):
        pair, _ = visit(at, name, client)
        pair.to_client(b"x")  # TLS 1.3 names sessions with it
        kept[name] = pair.client.session
    for name, session in kept.items():
        for asked in kept:
            pair, host = visit(at, asked, client, session)
            assert pair.server.reused is (asked == name), (name, asked)
            assert host == (asked or "a.example")
            assert (pair.server.peer_certificate is not None) is (host in verified.split())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_name_is_that_of_this_handshake_and_not_of_the_session(
    version: ssl.TLSVersion, ecdsa: Certificate, visit: Visits
) -> None:
    at = door_to({"a.example": build(ecdsa)})
    client = client_context()
    client.minimum_version = client.maximum_version = version
    pair, _ = visit(at, "b.example", client)
    pair.to_client(b"x")
    again, _ = visit(at, "b.example", client, pair.client.session)
    assert (again.server.reused, again.server.server_name) == (True, b"b.example")


def test_a_second_hello_must_ask_for_the_same_name(ecdsa: Certificate) -> None:
    """After a HelloRetryRequest the client sends another one, which the server might take for that of another name."""
    at = door_to({"a.example": build(ecdsa, ecdh_curve="secp521r1"), "b.example": build(ecdsa)})
    visit = at.selection()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
    pair = Pair(visit, server_name="unused.example")
    try:
        theirs = pair.client.detach()
        with socket.socket(fileno=theirs) as raw:
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            raw.send(outgoing.read())
            assert pair.server.handshake() is not None
            raw.setblocking(True)
            incoming.write(raw.recv(65536))
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            second = outgoing.read()
            assert second.count(b"a.example") == 1
            raw.send(second.replace(b"a.example", b"b.example"))
            with pytest.raises(TlsError):
                pair.server.handshake()
            assert raw.recv(65536)[-2:] == bytes([2, 47])  # fatal, illegal_parameter
    finally:
        pair.close()


def test_a_hello_in_many_pieces_is_read_whole(ecdsa: Certificate, rsa: Certificate) -> None:
    at = door_to({"a.example": build(ecdsa), "b.example": build(rsa)})
    visit = at.selection()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname="b.example")
    pair = Pair(visit)
    try:
        with socket.socket(fileno=pair.client.detach()) as raw:
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            hello = outgoing.read()
            for byte in hello:
                raw.send(bytes([byte]))
                assert pair.server.handshake() is not None
            raw.setblocking(True)
            incoming.write(raw.recv(65536))
            client.do_handshake()
            raw.send(outgoing.read())
            assert pair.server.handshake() is None
        assert visit.server[0] == "b.example"
    finally:
        pair.close()


def test_a_server_may_reject_all_handshakes(ecdsa: Certificate, visit: Visits) -> None:
    closed = build(ecdsa, certificates=(), certificate_keys=(), reject_handshake=True)
    at = door_to({"closed.example": closed, "open.example": build(ecdsa)})
    assert visit(at, "open.example")[1] == "open.example"
    for name in (None, "closed.example", "unknown.example"):
        with closing(Pair(at.selection(), server_name=name)) as pair:
            with pytest.raises(TlsError):
                pair.shake_hands()
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                pair.client.do_handshake()


@pytest.mark.parametrize(
    ("offers", "found"),
    [([], "i.example"), (["imap"], "i.example"), (["smtp"], "s.example"), (["submission"], "s.example"),
     (["pop3", "submission"], "s.example"), (["h2"], None), (["x" * 200, "y" * 50], None)],
)  # fmt: skip
def test_protocols_on_one_address_are_told_apart_by_alpn(
    offers: list[str], found: str | None, ecdsa: Certificate, visit: Visits
) -> None:
    imap = room({"i.example": build(ecdsa)}, b"imap")
    smtp = {"s.example": TlsContext.build(build(ecdsa).settings, b"smtp", b"submission")}
    at = door(imap, room(smtp, b"smtp", b"submission"))
    client = client_context()
    if offers:
        client.set_alpn_protocols(offers)
    if found is None:
        with pytest.raises((TlsError, ConnectionLost, ssl.SSLError)):
            visit(at, None, client)
        return
    pair, host = visit(at, None, client)
    assert host == found
    assert (pair.server.alpn or b"").decode() == next((name for name in offers if name != "pop3"), "")


def test_names_count_within_the_protocol(ecdsa: Certificate, visit: Visits) -> None:
    smtp = {name: TlsContext.build(build(ecdsa).settings, b"smtp") for name in ("s.example", "a.example")}
    at = door(room({"i.example": build(ecdsa), "b.example": build(ecdsa)}, b"imap"), room(smtp, b"smtp"))
    client = client_context()
    client.set_alpn_protocols(["smtp"])
    assert [visit(at, name, client)[1] for name in ("a.example", "b.example")] == ["a.example", "s.example"]
    assert [visit(at, name)[1] for name in ("a.example", "b.example")] == ["i.example", "b.example"]


def test_a_handshake_that_is_given_up_before_the_choice_leaves_nothing(ecdsa: Certificate) -> None:
    at = door_to({"a.example": build(ecdsa), "b.example": build(ecdsa)})
    pair = Pair(at.selection(), server_name="b.example")
    pair.client.close()
    with pytest.raises(ConnectionLost):
        while pair.server.handshake() is not None:
            pass
    pair.close()


@pytest.mark.parametrize(
    ("algorithm", "found"),
    [("rsa:2048", b"RSA2048"), ("EC -pkeyopt ec_paramgen_curve:P-256", b"EC256"),
     ("EC -pkeyopt ec_paramgen_curve:P-384", b"EC384"), ("ED25519", b"ED25519"), ("rsa-pss", b"RSASSA-PSS")],
)  # fmt: skip
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_certificates_of_all_kinds_are_read_from_folders(
    tmp_path: Path, ecdsa: Certificate, visit: Visits, algorithm: str, found: bytes, version: str
) -> None:
    pair = f"-keyout {tmp_path}/a.key -out {tmp_path}/a.crt".split()
    subject = ["-nodes", "-subj", "/CN=a.example"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *algorithm.split(), *subject, *pair], check=True)
    scan = FolderScan(str(tmp_path))
    assert [text for text in scan.load(None) if text] == []
    settings = ssl_settings(ecdsa, certificate_directories=(str(tmp_path),), protocols=(version,))
    at = door_to({"b.example": TlsContext.build(settings, b"imap", folders=(scan.folder,))})
    server = visit(at, "a.example")[0].server
    assert (server.certificate.key_algorithm, server.protocol) == (found, version)
