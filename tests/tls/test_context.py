from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from mailworker.errors import TlsError
from mailworker.model import Level, VerifyClient
from mailworker.native.tls.certificate import load_certificates
from mailworker.tls.context import TlsContext
from mailworker.tls.severity import severity
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, self_signed
from tests.support.settings import ssl_settings
from tests.tls.conftest import Connect, ConnectRaw
from tests.tls.peers import Pair, build, client_context

# RFC 8446: alert record, fatal; the last byte names the alert.
FATAL_ALERT = b"\x15\x03\x03\x00\x02\x02"
NO_APPLICATION_PROTOCOL = 120
# RFC 8446, RFC 8879: kinds of handshake messages.
CERTIFICATE, COMPRESSED_CERTIFICATE = 11, 25

# X509_V_ERR_*
SELF_SIGNED_LEAF = 18
REVOKED = 23


def only(version: ssl.TLSVersion) -> ssl.SSLContext:
    client = client_context()
    client.minimum_version = client.maximum_version = version
    return client


def refused(pair: Pair) -> tuple[str, ...]:
    """The reasons for which the server ends the handshake."""
    while True:
        try:
            pair.client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            break
        try:
            pair.server.handshake()
        except TlsError as error:
            assert severity(error) is Level.INFO
            return error.reasons
    raise AssertionError("the client ended the handshake")


def test_versions_that_are_not_asked_for_are_refused(connect: Connect, ecdsa: Certificate) -> None:
    context = build(ecdsa, protocols=("TLSv1.3",))
    assert connect(context, only(ssl.TLSVersion.TLSv1_3)).shake_hands().server.protocol == "TLSv1.3"
    reasons = refused(connect(context, only(ssl.TLSVersion.TLSv1_2)))
    assert reasons == ("error:0A000102:SSL routines::unsupported protocol",)


@pytest.mark.parametrize(("name", "number"), [("TLSv1", 1), ("TLSv1.1", 2)])
def test_old_versions_can_be_asked_for_whatever_the_system_prefers(
    connect_raw: ConnectRaw, ecdsa: Certificate, name: str, number: int
) -> None:
    context = build(ecdsa, protocols=("SSLv2", "SSLv3", name), ciphers="ALL:@SECLEVEL=0")
    server, _ours, theirs = connect_raw(context)
    # A ClientHello that offers ECDHE-ECDSA-AES128-SHA and P-256.
    extensions = b"\x00\x0a\x00\x04\x00\x02\x00\x17\x00\x0b\x00\x02\x01\x00"
    body = bytes([3, number]) + bytes(32) + b"\x00\x00\x02\xc0\x09\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    theirs.send(b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello)
    assert server.handshake() is not None
    answer = theirs.recv(100)
    assert answer[0] == 0x16
    assert answer[9:11] == bytes([3, number])


def test_only_the_ciphers_of_the_list_are_used(connect: Connect, ecdsa: Certificate) -> None:
    context = build(ecdsa, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    client = only(ssl.TLSVersion.TLSv1_2)
    assert connect(context, client).shake_hands().server.cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert refused(connect(context, client)) == ("error:0A0000C1:SSL routines::no shared cipher",)


@pytest.mark.parametrize(
    ("prefer", "chosen"), [(False, "ECDHE-ECDSA-AES128-GCM-SHA256"), (True, "ECDHE-ECDSA-AES256-GCM-SHA384")]
)
def test_whose_order_of_ciphers_counts(connect: Connect, ecdsa: Certificate, prefer: bool, chosen: str) -> None:
    strong, weak = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    context = build(ecdsa, ciphers=f"{strong}:{weak}", prefer_server_ciphers=prefer)
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(f"{weak}:{strong}")
    assert connect(context, client).shake_hands().server.cipher == chosen


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_the_protocol_is_agreed_on(connect: Connect, ecdsa: Certificate, protocol: str) -> None:
    client = client_context()
    client.set_alpn_protocols(["h2", protocol])
    pair = connect(build(ecdsa, protocol.encode()), client).shake_hands()
    assert pair.client.selected_alpn_protocol() == protocol


def test_offering_no_protocol_is_fine(connect: Connect, ecdsa: Certificate) -> None:
    assert connect(build(ecdsa)).shake_hands().server.alpn is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_offering_only_other_protocols_is_a_fatal_alert(
    connect: Connect, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    client = only(version)
    client.set_alpn_protocols(["http/1.1", "IMAP", "imap4"])
    pair = connect(build(ecdsa), client)
    assert refused(pair) == ("error:0A0000EB:SSL routines::no application protocol",)
    with socket.socket(fileno=pair.client.detach()) as raw:
        assert raw.recv(100)[-7:] == FATAL_ALERT + bytes([NO_APPLICATION_PROTOCOL])


def test_a_pair_of_certificates_serves_both_kinds_of_clients(
    connect: Connect, rsa: Certificate, ecdsa: Certificate
) -> None:
    context = build(
        rsa,
        certificates=(str(rsa.certificate), str(ecdsa.certificate)),
        certificate_keys=(str(rsa.key), str(ecdsa.key)),
    )
    client = only(ssl.TLSVersion.TLSv1_2)
    for algorithm, certificate in (("aRSA", rsa), ("aECDSA", ecdsa)):
        client.set_ciphers(algorithm)
        pair = connect(context, client).shake_hands()
        assert pair.client.getpeercert(binary_form=True) == load_certificates(str(certificate.certificate))[0].der


def test_the_chain_of_the_file_is_sent_and_no_other(
    connect: Connect, ecdsa: Certificate, authority: CertificateAuthority, tmp_path: Path
) -> None:
    chained = tmp_path / "chained.crt"
    chained.write_bytes(ecdsa.certificate.read_bytes() + authority.path.read_bytes())
    trusting: dict[str, Any] = {"verify_client": VerifyClient.OPTIONAL, "client_certificate": str(authority.path)}
    for path, count in ((chained, 2), (ecdsa.certificate, 1)):
        pair = connect(build(ecdsa, certificates=(str(path),), **trusting), only(ssl.TLSVersion.TLSv1_2)).shake_hands()
        assert _certificates_sent(pair) == count


def _certificates_sent(pair: Pair) -> int:
    return len(pair.client._sslobj.get_unverified_chain())  # type: ignore[attr-defined]


def test_data_in_the_configuration(connect: Connect, ecdsa: Certificate) -> None:
    context = build(
        ecdsa,
        certificates=(f"data:{ecdsa.certificate.read_text()}",),
        certificate_keys=(f"data:{ecdsa.key.read_text()}",),
    )
    connect(context).shake_hands()


def encrypted(certificate: Certificate, password: bytes, path: Path) -> str:
    key = load_pem_private_key(certificate.key.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))
    return str(path)


def test_passwords_are_tried_in_turn(connect: Connect, ecdsa: Certificate, tmp_path: Path) -> None:
    key = encrypted(ecdsa, b"third", tmp_path / "encrypted.key")
    connect(build(ecdsa, certificate_keys=(key,), passwords=(b"first", b"", b"third"))).shake_hands()


def test_a_key_from_a_store(connect: Connect, ecdsa: Certificate, tmp_path: Path) -> None:
    key = encrypted(ecdsa, b"second", tmp_path / "encrypted.key")
    for source in (f"store:file:{ecdsa.key}", f"store:file:{key}"):
        connect(build(ecdsa, certificate_keys=(source,), passwords=(b"first", b"second"))).shake_hands()


def test_a_client_certificate_is_looked_at(
    connect: Connect, ecdsa: Certificate, authority: CertificateAuthority, client_certificate: Certificate
) -> None:
    context = build(ecdsa, verify_client=VerifyClient.ON, client_certificate=str(authority.path))
    pair = connect(context, client_context(certificate=client_certificate)).shake_hands()
    assert pair.server.verify_result == (0, "ok")
    assert pair.server.peer_certificate is not None
    assert pair.server.peer_certificate.pem == client_certificate.certificate.read_bytes()


@pytest.mark.parametrize("mode", [VerifyClient.ON, VerifyClient.OPTIONAL, VerifyClient.OPTIONAL_NO_CA])
def test_no_verification_stops_the_handshake(
    connect: Connect,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    stranger: Certificate,
    mode: VerifyClient,
    tmp_path: Path,
) -> None:
    context = build(ecdsa, verify_client=mode, client_certificate=str(authority.path))
    assert connect(context).shake_hands().server.peer_certificate is None
    unknown = connect(context, client_context(certificate=stranger)).shake_hands()
    assert unknown.server.verify_result == (21, "unable to verify the first certificate")
    own = connect(context, client_context(certificate=self_signed(tmp_path, "self", "/CN=self"))).shake_hands()
    assert own.server.verify_result[0] == SELF_SIGNED_LEAF


@pytest.mark.parametrize("depth", [0, 1])
def test_authorities_between_the_certificate_and_a_trusted_one_are_counted(
    connect: Connect,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    tmp_path: Path,
    depth: int,
) -> None:
    below = CertificateAuthority(tmp_path, "Below", above=authority)
    client = below.issue_client("client", ecdsa_key(), "A client")
    with client.certificate.open("ab") as chain:
        chain.write(below.path.read_bytes())
    trusting: dict[str, Any] = {"verify_client": VerifyClient.ON, "client_certificate": str(authority.path)}
    pair = connect(build(ecdsa, **trusting, verify_depth=depth), client_context(certificate=client)).shake_hands()
    assert (pair.server.verify_result == (0, "ok")) is (depth > 0)


def test_nobody_is_asked_where_verification_is_off(
    connect: Connect, ecdsa: Certificate, client_certificate: Certificate
) -> None:
    pair = connect(build(ecdsa), client_context(certificate=client_certificate)).shake_hands()
    assert pair.server.peer_certificate is None


def _authorities_named(connect_raw: ConnectRaw, context: TlsContext, authority: CertificateAuthority) -> bool:
    """Whether a CertificateRequest of TLS 1.2, which is not encrypted, holds the authority's name."""
    server, _ours, theirs = connect_raw(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = only(ssl.TLSVersion.TLSv1_2).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    theirs.send(outgoing.read())
    server.handshake()
    name = x509.load_pem_x509_certificate(authority.path.read_bytes()).subject.public_bytes()
    # Once it is the issuer of the server's own certificate.
    return theirs.recv(65536).count(name) > 1


def test_client_authorities_are_named_and_trusted_ones_are_not(
    connect: Connect,
    connect_raw: ConnectRaw,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
) -> None:
    for directive, named in (("client_certificate", True), ("trusted_certificate", False)):
        trusting: dict[str, Any] = {directive: str(authority.path)}
        context = build(ecdsa, verify_client=VerifyClient.ON, **trusting)
        pair = connect(context, client_context(certificate=client_certificate)).shake_hands()
        assert pair.server.verify_result == (0, "ok")
        assert _authorities_named(connect_raw, context, authority) is named


def test_revoked_certificates(
    connect: Connect,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
) -> None:
    other = authority.issue_client("other", ecdsa_key(), "Another client")
    crl = str(authority.issue_revocation_list("list.crl", client_certificate))
    context = build(ecdsa, verify_client=VerifyClient.ON, client_certificate=str(authority.path), crl=crl)
    revoked = connect(context, client_context(certificate=client_certificate)).shake_hands()
    assert revoked.server.verify_result == (REVOKED, "certificate revoked")
    assert connect(context, client_context(certificate=other)).shake_hands().server.verify_result[0] == 0


def test_the_curve_decides_the_key_exchange(connect: Connect, ecdsa: Certificate) -> None:
    context = build(ecdsa, ecdh_curve="secp384r1:prime256v1")
    client = only(ssl.TLSVersion.TLSv1_3)
    client.set_ecdh_curve("prime256v1")
    connect(context, client).shake_hands()
    client.set_ecdh_curve("secp521r1")
    assert "error:0A000065:SSL routines::no suitable key share" in refused(connect(context, client))


def test_finite_field_diffie_hellman_needs_parameters(connect: Connect, rsa: Certificate, tmp_path: Path) -> None:
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("DHE-RSA-AES128-GCM-SHA256")
    assert refused(connect(build(rsa), client)) == ("error:0A0000C1:SSL routines::no shared cipher",)
    parameters = tmp_path / "dh.pem"
    command = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    subprocess.run([*command, "-out", str(parameters)], check=True, capture_output=True)
    pair = connect(build(rsa, dhparam=str(parameters)), client).shake_hands()
    assert pair.server.cipher == "DHE-RSA-AES128-GCM-SHA256"


def test_conf_commands_have_the_last_word(connect: Connect, ecdsa: Certificate) -> None:
    context = build(
        ecdsa, conf_commands=(("MaxProtocol", "TLSv1.2"), ("CipherString", "ECDHE-ECDSA-CHACHA20-POLY1305"))
    )
    pair = connect(context).shake_hands()
    assert (pair.server.protocol, pair.server.cipher) == ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")


def test_files_of_conf_commands_start_from_the_configuration(
    connect: Connect, ecdsa: Certificate, rsa: Certificate
) -> None:
    commands = (("Certificate", rsa.certificate.name), ("PrivateKey", rsa.key.name))
    context = TlsContext.build(ssl_settings(ecdsa, conf_commands=commands), b"imap", conf_prefix=rsa.certificate.parent)
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("aRSA")
    connect(context, client).shake_hands()


def test_a_certificate_whose_key_is_not_given_is_warned_of(
    connect: Connect, ecdsa: Certificate, rsa: Certificate
) -> None:
    text = f'certificate "{rsa.certificate}" has none of the given keys, so no handshake can use it'
    context = build(rsa, certificate_keys=(str(ecdsa.key),))
    assert context.warnings == (text,)
    reasons = refused(connect(context, only(ssl.TLSVersion.TLSv1_2)))
    assert reasons == ("error:0A0000C1:SSL routines::no shared cipher",)


def test_keys_may_be_given_in_any_order(connect: Connect, ecdsa: Certificate, rsa: Certificate) -> None:
    certificates = (str(rsa.certificate), str(ecdsa.certificate))
    context = build(rsa, certificates=certificates, certificate_keys=(str(ecdsa.key), str(rsa.key)))
    assert context.warnings == ()
    for kind in ("aRSA", "aECDSA"):
        client = only(ssl.TLSVersion.TLSv1_2)
        client.set_ciphers(kind)
        connect(context, client).shake_hands()


@pytest.mark.parametrize("wanted", [False, True])
def test_certificates_are_compressed_where_that_is_wanted_and_possible(
    connect: Connect, ecdsa: Certificate, wanted: bool
) -> None:
    context = build(ecdsa, certificate_compression=wanted)
    seen = set[int]()
    client = only(ssl.TLSVersion.TLSv1_3)
    client._msg_callback = lambda *message: seen.add(message[4])  # type: ignore[attr-defined]
    connect(context, client).shake_hands()
    possible = ssl.OPENSSL_VERSION_INFO >= (3, 2)
    assert (COMPRESSED_CERTIFICATE in seen, CERTIFICATE in seen) == (wanted and possible, not (wanted and possible))
    text = '"ssl_certificate_compression" is not supported on this platform, ignored'
    assert context.warnings == ((text,) if wanted and not possible else ())
