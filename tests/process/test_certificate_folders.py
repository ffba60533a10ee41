from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import pytest

from mailworker.errors import ConfigError
from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.tls_contexts import TlsContexts
from mailworker.shm.sealed import seal
from mailworker.tls.folder import find_pairs
from mailworker.tls.folder_scan import GRACE
from tests.process.tls.folders import put
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.recorded_log import RecordedLog
from tests.support.settings import ssl_settings


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[TlsContexts, RecordedLog]:
    log = RecordedLog()
    return TlsContexts(tmp_path, log.log.write), log


def load(contexts: TlsContexts, default: Certificate, *folders: Path) -> CertificateFolders:
    settings = ssl_settings(default, certificate_directories=tuple(map(str, folders)))
    contexts.add(settings, None, "imap")
    return contexts.folders


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, maker: CertificateAuthority, contexts: tuple[TlsContexts, RecordedLog]
) -> None:
    default = maker.issue_server("default", ecdsa_key(), ("default.example",))
    with pytest.raises(ConfigError) as caught:
        load(contexts[0], default, tmp_path / "nothing")
    assert str(caught.value) == f'cannot read certificate directory "{tmp_path}/nothing" (2: No such file or directory)'


def test_of_two_folders_with_a_name_the_first_is_used_with_a_warning(
    tmp_path: Path, maker: CertificateAuthority, contexts: tuple[TlsContexts, RecordedLog]
) -> None:
    """A file that somebody added below the second one kept mailworker from starting and from reloading."""
    names = {"default": ("d.example",), "a": ("a.example",), "ab": ("a.example", "b.example"), "c": ("c.example",)}
    default, first, second, pair = (maker.issue_server(name, ecdsa_key(), names[name]) for name in names)
    other = maker.issue_server("other", ecdsa_key(), ("c.example",))
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    put(first, one, "first.pem")
    put(pair, one, "c.pem")
    put(second, two, "second.pem")
    put(pair, three, "copy.pem")  # the same one is no reason for a warning
    folders = load(contexts[0], default, one, two, three)
    first_wins = f'is not used for "a.example": the directory of "{one}/first.pem" comes first'
    assert contexts[1].lines == [f'[warn] "{two}/second.pem" {first_wins}']
    used = [find_pairs(folders, name) for name in (b"a.example", b"b.example")]
    assert [[pair.path for pair in pairs] for pairs in used] == [[f"{one}/first.pem"], [f"{two}/second.pem"]]

    put(other, two, "other.pem")
    scan = folders.scans[str(two)]
    told = [text for moment in (0, GRACE, 2 * GRACE) for text in scan.find_changes(moment).texts]
    assert told == [f'"{two}/other.pem" is not used for "c.example": the directory of "{one}/c.pem" comes first']
    assert [pair.path for pair in find_pairs(folders, b"c.example")] == [f"{one}/c.pem"]


def test_a_pair_that_no_connection_takes_is_left_out(
    tmp_path: Path, maker: CertificateAuthority, contexts: tuple[TlsContexts, RecordedLog]
) -> None:
    default = maker.issue_server("default", ecdsa_key(), ("default.example",))
    folder = tmp_path / "certs"
    folder.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=weak.example"]
    files = ["-keyout", str(folder / "weak.key"), "-out", str(folder / "weak.crt")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    folders = load(contexts[0], default, folder)
    assert list(folders.scans[str(folder)].folder) == []
    (line,) = contexts[1].lines
    assert f'"{folder}/weak.crt" cannot be used: SSL_use_cert_and_key() failed (SSL: ' in line
    assert "ee key too small" in line


def test_what_another_process_has_read_is_adopted(
    tmp_path: Path, maker: CertificateAuthority, contexts: tuple[TlsContexts, RecordedLog]
) -> None:
    default = maker.issue_server("default", ecdsa_key(), ("default.example",))
    folder = tmp_path / "certs"
    folder.mkdir()
    ours, theirs = (
        load(contexts[0], default, folder),
        load(TlsContexts(tmp_path, RecordedLog().log.write), default, folder),
    )
    put(maker.issue_server("a", ecdsa_key(), ("a.example",)), folder, "a.pem")
    scan = theirs.scans[str(folder)]
    changes = [change for moment in (0, 1) for change in scan.find_changes(moment).changes]
    assert ours.adopt(str(folder), seal("test", pickle.dumps(changes)))
    assert [pair.names for pair in ours.scans[str(folder)].folder] == [(b"a.example",)]
    assert not ours.adopt("/unknown", seal("test", pickle.dumps([])))
    assert [each.path for each in ours] == [str(folder)]
