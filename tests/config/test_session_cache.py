from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import LoadServer

TLS = "starttls on; ssl_certificate a; ssl_certificate_key a;"


@pytest.mark.parametrize(
    ("words", "off", "builtin", "zone"),
    [
        ("off", True, None, None),
        ("none", False, None, None),
        ("builtin", False, 20480, None),
        ("builtin:7 shared:a:1m", False, 7, ("a", 1 << 20)),
        ("shared:a:32k", False, None, ("a", 32768)),
        ("shared:a:1m off", True, None, None),
    ],
)
def test_a_cache_is_off_none_or_builtin_and_shared(
    load_server: LoadServer, words: str, off: bool, builtin: int | None, zone: tuple[str, int] | None
) -> None:
    settings = load_server(f"{TLS} ssl_session_cache {words};").ssl
    assert settings is not None
    cache = settings.session_cache
    assert (cache.off, cache.builtin) == (off, builtin)
    assert (cache.shared and (cache.shared.name, cache.shared.size)) == zone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("shared", 'invalid session cache "shared"'),
        ("shared:a", 'invalid session cache "shared:a"'),
        ("shared::1m", 'invalid session cache "shared::1m"'),
        ("builtin:", 'invalid session cache "builtin:"'),
        ("builtin:x", 'invalid session cache "builtin:x"'),
        ("shared:a:1k", 'session cache "shared:a:1k" is too small'),
        ("shared:a:1m shared:a:2m", 'the size 2097152 of shared memory zone "a" conflicts with already declared'),
    ],
)
def test_what_is_no_cache_is_refused(load_server: LoadServer, words: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"{TLS} ssl_session_cache {words};")
    assert caught.value.message.startswith(message)
