from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.native.tls._native import lib
from mailworker.native.tls.bio import opened, read_all, written
from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.queue import OpenSslError, take_reasons
from tests.support.certificates import self_signed


def written_name(subject: str, folder: Path) -> bytes:
    """What OpenSSL writes of a certificate's subject."""
    (certificate,) = load_certificates(str(self_signed(folder, "one", subject).certificate))
    name = lib.X509_get_subject_name(certificate.pointer)
    return written(lambda bio: lib.X509_NAME_print_ex(bio, name, 0, lib.XN_FLAG_RFC2253))


def test_a_source_is_a_file_or_the_text_itself(tmp_path: Path) -> None:
    path = self_signed(tmp_path, "one", "/CN=one").certificate
    for source in (str(path), f"data:{path.read_text()}"):
        with opened(source) as bio:
            (pointer,) = read_all(bio, "PEM_read_bio_X509")
        lib.X509_free(pointer)


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OpenSslError, match=r"^BIO_new_file\(\) failed$"), opened(str(tmp_path / "missing")):
        pytest.fail("opened what is not there")


@pytest.mark.parametrize(("content", "call"), [("", 0), ("no certificate", 0), ("{certificate}{broken}", 1)])
def test_none_at_all_and_a_broken_one_are_errors_of_their_calls(content: str, call: int, tmp_path: Path) -> None:
    calls = ("PEM_read_bio_X509_AUX", "PEM_read_bio_X509")
    certificate = self_signed(tmp_path, "one", "/CN=one").certificate.read_text()
    broken = certificate.replace("-----END", "????\n-----END")
    text = content.format(certificate=certificate, broken=broken)
    with pytest.raises(OpenSslError, match=rf"^{calls[call]}\(\) failed$"), opened(f"data:{text}") as bio:
        read_all(bio, *calls)
    assert take_reasons() == ()


@pytest.mark.parametrize(("subject", "name"), [("/CN=joe/O=mail", b"O=mail,CN=joe"), ("/CN=\\,", b"CN=\\,")])
def test_what_openssl_writes_is_had_whole(subject: str, name: bytes, tmp_path: Path) -> None:
    assert written_name(subject, tmp_path) == name
    assert written(lambda bio: 0) == b""
