from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import load_key
from mailworker.native.tls.pair import Pair
from mailworker.native.tls.queue import OpenSslError
from tests.support.certificates import Certificate, self_signed


def load(certificate: Certificate, key: Certificate) -> Pair:
    leaf, *_ = load_certificates(str(certificate.certificate))
    return Pair(leaf, load_key(str(key.key), None), [leaf, leaf])


def test_the_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    first, second = (self_signed(tmp_path, name, f"/CN={name}") for name in "ab")
    context = Context(b"imap")
    with pytest.raises(OpenSslError):
        load(first, second).check_for(context)
    load(first, first).check_for(context)
    pair = load(first, first).native
    assert pair.leaf
    assert pair.key
    assert pair.chain
