"""Rows 40 and 46: no session outlives the trust it was made under, and handshakes leave no memory behind."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.process.tls.clients import client_context, connected, visit, visit_all
from tests.process.tls.servers import configuration, key_pair, reload, start, tls_server
from tests.support.certificates import Certificate, CertificateAuthority
from tests.support.ports import Ports
from tests.support.process import GREETING

# MAILWORKER_HANDSHAKES=50000 is the long form.
HANDSHAKES = int(os.environ.get("MAILWORKER_HANDSHAKES", "1500"))
WARM_UP = 500
MEGABYTE = 1 << 20
REFUSAL = b"* BYE SSL certificate error\r\n"
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
@pytest.mark.parametrize("tickets", ["on", "off"])
def test_a_certificate_that_is_revoked_resumes_no_session_after_a_reload(
    install: Install,
    port: int,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
    version: ssl.TLSVersion,
    tickets: str,
) -> None:
    revoked = authority.issue_revocation_list("none.crl")
    directives = (
        f"{key_pair(ecdsa)} ssl_session_cache shared:SSL:1m; ssl_session_tickets {tickets}; "
        f"ssl_verify_client on; ssl_client_certificate {authority.path}; ssl_crl {revoked};"
    )
    mailworker = start(install, configuration(tls_server(port, directives)))
    client = client_context(version, client_certificate)
    with connected(port, client) as first:
        assert first.recv(100) == GREETING
        session = first.session
    with connected(port, client, session) as again:
        assert again.session_reused
        assert again.recv(100) == GREETING
    Path(revoked).write_bytes(authority.issue_revocation_list("some.crl", client_certificate).read_bytes())
    reload(mailworker)
    with connected(port, client, session) as refused:
        assert not refused.session_reused
        assert refused.recv(100) == REFUSAL


@VERSIONS
@pytest.mark.parametrize("tickets", ["on", "off"])
def test_a_chain_that_has_become_too_long_resumes_no_session(
    install: Install,
    port: int,
    ports: Ports,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
    version: ssl.TLSVersion,
    tickets: str,
) -> None:
    strict = ports["strict"]
    directives = (
        f"{key_pair(ecdsa)} ssl_session_cache shared:SSL:1m; ssl_session_tickets {tickets}; "
        f"ssl_verify_client on; ssl_client_certificate {authority.path}; ssl_verify_depth"
    )
    lax = [tls_server(port, f"{directives} 2;"), tls_server(strict, f"{directives} 1;")]
    mailworker = start(install, configuration(*lax))
    client = client_context(version, client_certificate)
    session = visit(port, client).session
    assert visit(port, client, session).reused
    assert not visit(strict, client, session).reused
    reload(mailworker)
    assert visit(port, client, session).reused
    mailworker.configure(configuration(tls_server(port, f"{directives} 1;"), lax[1]))
    reload(mailworker)
    assert not visit(port, client, session).reused


@VERSIONS
def test_handshakes_without_tickets_leave_memory_flat(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    directives = f"{key_pair(ecdsa)} ssl_session_cache shared:SSL:256k; ssl_session_tickets off;"
    text = configuration(tls_server(port, directives)).replace("error.log info", "error.log error")
    mailworker = start(install, text)
    (worker,) = mailworker.workers()
    client = client_context(version)
    visit_all(port, client, [None] * WARM_UP)
    before = worker.memory_full_info().uss
    visit_all(port, client, [None] * HANDSHAKES)
    assert worker.memory_full_info().uss < before + MEGABYTE
