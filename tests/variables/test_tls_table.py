"""What is known of a client's TLS connection; more of it is in test_table.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.variables.table import TABLE
from tests.variables.facts import Session
from tests.variables.test_table import TLS


@pytest.mark.parametrize(
    ("changes", "verify"),
    [
        ({"peer_certificate": None}, b"NONE"),
        ({"verify_result": (10, "certificate has expired")}, b"FAILED:certificate has expired"),
    ],
)
def test_the_certificate_is_judged_in_nginxs_words(changes: dict[str, Any], verify: bytes) -> None:
    tls = SimpleNamespace(**(vars(TLS) | changes))
    assert TABLE["ssl_client_verify"](Session(tls=tls)) == verify
