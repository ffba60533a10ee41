from __future__ import annotations

from itertools import chain, repeat

import pytest

from mailworker.mail.authentication import cost
from mailworker.mail.authentication.cost import MOST, is_dear, seconds
from mailworker.mail.authentication.passwords import Work, read_password
from tests.support.daemon import wait_until


@pytest.mark.parametrize(
    "text",
    [
        b"{PLAIN}secret",
        b"",
        b"$6$saltsalt$" + b"a" * 86,
        b"$5$saltsalt$" + b"a" * 43,
        b"$1$saltsalt$" + b"a" * 22,
        b"$apr1$saltsalt$" + b"a" * 22,
        b"$2y$04$" + b"a" * 53,
        b"{PBKDF2}$1$saltsaltsaltsalt$5000$" + b"a" * 40,
        b"abJnggxhB/yWI",
    ],
)
def test_a_worker_checks_what_is_cheap(text: bytes) -> None:
    stored = read_password(text)

    def is_cheap() -> bool:
        seconds.cache_clear()
        return not is_dear(stored)

    wait_until(is_cheap, "a moment in which nobody else makes it look dear")


@pytest.mark.parametrize(
    "text",
    [
        b"$6$rounds=656000$saltsalt$" + b"a" * 86,
        b"$2y$10$" + b"a" * 53,
        b"$sha1$40000$saltsalt$" + b"a" * 28,
        b"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC",
        b"$7$CU..../....2Q9obwLhin8qvQl6sisAO/$ySQ8bDzyz.kXZCn3jmqtsmY1rVhxrMWuHt8nHG6tMa2",
        b"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$oY7i$H1gk",
    ],
)
def test_a_worker_checks_nothing_that_keeps_others_waiting(text: bytes) -> None:
    assert is_dear(read_password(text))


def test_a_hash_that_would_take_for_ever_is_measured_in_no_time() -> None:
    needed = seconds(Work("BLF-CRYPT", 1 << 31, "BLF-CRYPT with cost 31"))
    assert needed is not None
    assert needed > 1000 * MOST


def test_of_an_unknown_work_nothing_is_told() -> None:
    assert seconds(Work("yescrypt", 1, "yescrypt")) is None


@pytest.mark.parametrize(
    ("measured", "needed", "tries"),
    [([], 0.001, 5), ([0.0015] * 30, 0.001, 31), ([0.0015] * 200, 0.003, 100), ([0.005] * 200, 0.01, 5)],
    ids=["cheap", "near, then cheap", "near", "dear"],
)
def test_what_is_near_the_limit_is_measured_until_it_is_seen_to_be_cheap(
    monkeypatch: pytest.MonkeyPatch, measured: list[float], needed: float, tries: int
) -> None:
    """A password with twice the work of the sample, while other processes make it look more expensive."""
    taken = enumerate(chain(measured, repeat(0.0005)), 1)
    last = 0

    def measure(_sample: object) -> float:
        nonlocal last
        last, time = next(taken)
        return time

    monkeypatch.setattr(cost, "_measured", measure)
    seconds.cache_clear()
    assert seconds(Work("MD5-CRYPT", 2, "MD5-CRYPT")) == needed
    assert last == tries
    seconds.cache_clear()
