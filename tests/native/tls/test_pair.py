from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import load_key
from mailworker.native.tls.pair import Pair, other_names
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


def test_its_names_are_those_of_hosts(tmp_path: Path) -> None:
    named = self_signed(tmp_path, "a", "/CN=a", "-addext", "subjectAltName=DNS:a.test,IP:192.0.2.1,DNS:*.b.test")
    nameless = self_signed(tmp_path, "b", "/CN=b")
    leaves = [load_certificates(str(each.certificate))[0] for each in (named, nameless)]
    assert [other_names(leaf) for leaf in leaves] == [[b"a.test", b"*.b.test"], []]
