from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.native.tls.bio import opened
from mailworker.native.tls.queue import OpenSslError, take_reasons


def test_a_failure_names_the_call_and_empties_the_queue(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(OpenSslError) as raised, opened(missing):
        raise AssertionError("opened what is not there")
    assert raised.value.call == "BIO_new_file"
    assert str(raised.value) == "BIO_new_file() failed"
    assert len(raised.value.reasons) == 2
    for reason in raised.value.reasons:
        word, number, library, *_ = reason.split(":")
        assert word == "error"
        assert int(number, 16) > 0
        assert library
    assert any(missing in reason for reason in raised.value.reasons)
    assert take_reasons() == ()
