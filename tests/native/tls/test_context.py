"""What a context refuses by itself; what it does in a handshake is tested with the settings, in tests/tls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import load_key
from mailworker.native.tls.queue import OpenSslError
from tests.support.certificates import CertificateAuthority, ecdsa_key


@pytest.mark.parametrize(
    ("setting", "call"),
    [
        (lambda context: context.set_ciphers("NONE:SUCH", prefer_own_order=True), "SSL_CTX_set_cipher_list"),
        (lambda context: context.set_curves("no-such-curve"), "SSL_CTX_set1_curves_list"),
        (lambda context: context.set_session_identity(b"x" * 33, 300), "SSL_CTX_set_session_id_context"),
        (lambda context: context.set_dh_parameters("/nonexistent"), "BIO_new_file"),
    ],
)
def test_what_openssl_refuses_names_the_call(setting: Callable[[Context], None], call: str) -> None:
    with pytest.raises(OpenSslError, match=rf"^{call}\(\) failed$"):
        setting(Context())


def test_a_key_must_be_that_of_the_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    one, other = (authority.issue_server(name, ecdsa_key(), (name,)) for name in ("one", "other"))
    context = Context()
    context.use_certificate(load_certificates(str(one.certificate))[0], ())
    with pytest.raises(OpenSslError, match=r"^SSL_CTX_use_PrivateKey\(\) failed$"):
        context.use_key(load_key(str(other.key), None))
    context.use_key(load_key(str(one.key), None))


def test_versions_that_the_library_does_not_know_are_no_error() -> None:
    Context().allow_versions(["TLSv1.3", "TLSv9"])
