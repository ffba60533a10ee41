from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from mailworker.native.tls._native import lib
from mailworker.native.tls.key import Key, engine_key, load_key, store_key
from mailworker.native.tls.queue import OpenSslError, take_reasons
from tests.support.certificates import ecdsa_key

PASSWORD = b"hunter2"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "encrypted.key"
    encryption = BestAvailableEncryption(PASSWORD)
    path.write_bytes(ecdsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path


def is_elliptic(key: Key) -> bool:
    return bool(lib.EVP_PKEY_base_id(key.pointer) == lib.EVP_PKEY_EC)


@pytest.mark.parametrize("passwords", [[PASSWORD], [b"wrong", PASSWORD], [b"", b"wrong", PASSWORD]])
def test_passwords_are_tried_in_turn(encrypted: Path, passwords: Sequence[bytes]) -> None:
    assert is_elliptic(load_key(str(encrypted), passwords))
    assert is_elliptic(load_key(f"data:{encrypted.read_text()}", passwords))
    assert is_elliptic(store_key(f"file:{encrypted}", passwords))


def test_without_the_right_password_there_is_no_key(encrypted: Path) -> None:
    with pytest.raises(OpenSslError, match=r"^PEM_read_bio_PrivateKey\(\) failed$") as raised:
        load_key(str(encrypted), [b"one", b"two"])
    assert raised.value.reasons
    assert take_reasons() == ()
    with pytest.raises(OpenSslError, match=r"^OSSL_STORE_load\(\) failed$"):
        store_key(f"file:{encrypted}", [b"one", b"two"])


def test_what_holds_no_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(OpenSslError, match="PEM_read_bio_PrivateKey"):
        load_key(str(tmp_path / "empty"), None)
    with pytest.raises(OpenSslError, match="OSSL_STORE_open"):
        store_key(f"file:{tmp_path / 'missing'}", None)


def test_an_engine_that_nobody_has_is_an_error() -> None:
    with pytest.raises(OpenSslError, match=r"^ENGINE_by_id\(\) failed$"):
        engine_key("no-such-engine", "key")
