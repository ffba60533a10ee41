from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.tune.load import Kind
from mailworker.tune.trial import Result, Trial, _hear
from tests.support.certificates import Certificate
from tests.support.settings import ssl_settings

PORTS = [1, 2, 3]


CERTIFICATE = Certificate(Path("mail.crt"), Path('a"b\\c.key'))


def trial(**changes: object) -> Trial:
    ssl = ssl_settings(CERTIFICATE, **changes)
    return Trial(ssl=ssl, worker_connections=512, seconds=0.1, loads=1)


def test_what_workers_would_do_alone_is_counted_by_their_own_time() -> None:
    result = Result(Kind.LOGINS, workers=2, rate=100.0, processor=0.5)
    assert result.potential == 400.0


def test_workers_that_have_not_computed_at_all_have_no_capacity() -> None:
    assert Result(Kind.LOGINS, workers=2, rate=100.0, processor=0.0).potential == 0.0


def test_handshakes_are_measured_where_there_is_tls() -> None:
    assert trial().kinds == list(Kind)
    assert Trial(ssl=None, worker_connections=1, seconds=0.1, loads=1).kinds == [Kind.LOGINS, Kind.RELAYED_BYTES]


def test_a_trial_of_handshakes_has_the_certificates_of_the_configuration(tmp_path: Path) -> None:
    text = trial().configuration(tmp_path, Kind.HANDSHAKES, 2, PORTS)
    assert "listen 127.0.0.1:1 ssl;" in text
    assert 'ssl_certificate "mail.crt";' in text
    assert r'ssl_certificate_key "a\"b\\c.key";' in text
    assert "worker_connections 1024;" in text
    assert "ssl" not in trial().configuration(tmp_path, Kind.LOGINS, 2, PORTS)


def test_passwords_of_keys_are_in_a_file_of_the_trial(tmp_path: Path) -> None:
    text = trial(passwords=(b"one", b"two")).configuration(tmp_path, Kind.HANDSHAKES, 1, PORTS)
    assert f'ssl_password_file "{tmp_path / "passwords"}";' in text
    assert (tmp_path / "passwords").read_bytes() == b"one\ntwo"


def test_a_mailworker_that_does_not_start_says_why() -> None:
    with pytest.raises(StartError, match=r"(?s)mailworker did not start: .*mail\.crt"):
        trial().run(Kind.HANDSHAKES, 1)


def test_a_load_that_has_ended_is_told() -> None:
    refused = pytest.raises(StartError, match="that should put load on mailworker has ended")
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as ended, refused:
        _hear(ended)
