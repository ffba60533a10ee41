from __future__ import annotations

import pytest

from mailworker.native.crypt import CRYPT

KNOWN = b"$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"


def test_a_hash_begins_with_its_setting() -> None:
    assert CRYPT.available
    assert CRYPT.hash(b"password", b"$6$saltsalt$") == KNOWN
    assert CRYPT.hash(b"password", KNOWN) == KNOWN


@pytest.mark.parametrize("setting", [b"", b"bogus!!", b"*0", b"*1", b"$6$rounds=10$saltsalt$", b"$apr1$saltsalt$"])
def test_a_setting_of_no_method_gives_no_hash(setting: bytes) -> None:
    assert CRYPT.hash(b"password", setting) is None
