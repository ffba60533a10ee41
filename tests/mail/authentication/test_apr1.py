from __future__ import annotations

import shutil
import subprocess

import pytest

from mailworker.mail.authentication.apr1 import apr1


@pytest.mark.parametrize("length", [0, 1, 8, 15, 16, 17, 31, 33, 64])
def test_a_hash_is_that_of_openssl(length: int) -> None:
    assert shutil.which("openssl") is not None
    password = "ä" + "x" * length
    command = ("openssl", "passwd", "-apr1", "-salt", "saltsalt", password)
    known = subprocess.run(command, check=True, capture_output=True).stdout.strip()
    assert apr1(password.encode(), known) == known


def test_a_short_salt_is_taken_as_it_is() -> None:
    command = ("openssl", "passwd", "-apr1", "-salt", "ab", "secret")
    known = subprocess.run(command, check=True, capture_output=True).stdout.strip()
    assert apr1(b"secret", known) == known
