"""A session of one name under another, whose clients others vouch for: nobody gets in by that (CVE-2025-23419)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.oracle.proxies import mailworker
from tests.support import http_module
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.daemon import ServerUnavailable
from tests.support.patience import PATIENCE
from tests.support.ports import Ports

pytestmark = pytest.mark.oracle

QUESTIONS = {"nginx": b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n", "mailworker": b"a LOGOUT\r\n"}
LET_IN = {"nginx": b"HTTP/1.1 200", "mailworker": b"* OK IMAP4 ready"}


class Visit(NamedTuple):
    let_in: bool
    resumed: bool
    session: ssl.SSLSession | None


@pytest.fixture
def vouching(tmp_path: Path) -> dict[str, CertificateAuthority]:
    """An authority for the clients of each name."""
    made = {}
    for name in ("a.example", "b.example"):
        (tmp_path / name).mkdir()
        made[name] = CertificateAuthority(tmp_path / name, f"Authority of {name}")
    return made


@contextmanager
def serving(
    who: str, folder: Path, port: int, vouching: dict[str, CertificateAuthority], own: Certificate
) -> Iterator[None]:
    place = folder / who
    place.mkdir()
    common = f"ssl_certificate {own.certificate}; ssl_certificate_key {own.key};"
    common += " ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3;"
    blocks = "".join(
        f"server {{ listen 127.0.0.1:{port} ssl; server_name {name}; ssl_client_certificate {authority.path};"
        f" {'return 200 ok;' if who == 'nginx' else 'protocol imap;'} }}"
        for name, authority in vouching.items()
    )
    if who == "nginx":
        with http_module.serving(place, f"{common} ssl_session_cache shared:S:1m; {blocks}", port):
            yield
        return
    mail = f"mail {{ auth_http 127.0.0.1:9; {common} ssl_session_cache shared:S:1m; {blocks} }}"
    server = mailworker(place, f"pid proxy.pid; error_log error.log; events {{}} {mail}", [("127.0.0.1", port)])
    try:
        yield
    finally:
        server.stop()


def visit(who: str, port: int, name: str, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Visit:
    question = QUESTIONS[who] % name.encode() if who == "nginx" else QUESTIONS[who]
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            client.wrap_socket(plain, server_hostname=name, session=session) as secure,
        ):
            secure.sendall(question)
            answer = secure.recv(4096)
            return Visit(answer.startswith(LET_IN[who]), bool(secure.session_reused), secure.session)
    except ssl.SSLError:
        return Visit(let_in=False, resumed=False, session=None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_for_one_name_lets_nobody_in_under_another(
    version: ssl.TLSVersion, tmp_path: Path, ports: Ports, vouching: dict[str, CertificateAuthority]
) -> None:
    own = vouching["a.example"].issue_server("own", ecdsa_key(), ("a.example", "b.example"))
    of_a = vouching["a.example"].issue_client("client", ecdsa_key(), "A client of a")
    outcomes: dict[str, list[Visit]] = {}
    for who in ("nginx", "mailworker"):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.minimum_version = client.maximum_version = version
        client.load_cert_chain(of_a.certificate, of_a.key)
        try:
            with serving(who, tmp_path, ports[who], vouching, own):
                first = visit(who, ports[who], "a.example", client)
                tried = (("a.example", first.session), ("b.example", None), ("b.example", first.session))
                outcomes[who] = [first, *(visit(who, ports[who], name, client, session) for name, session in tried)]
        except ServerUnavailable as error:
            pytest.skip(str(error))
    seen = {who: [(each.let_in, each.resumed) for each in visits] for who, visits in outcomes.items()}
    assert seen["mailworker"] == [(True, False), (True, True), (False, False), (False, False)]
    assert [let_in for let_in, _ in seen["nginx"]] == [let_in for let_in, _ in seen["mailworker"]]
