from __future__ import annotations

import os

import pytest

from mailworker.config.zones import SharedZone
from mailworker.errors import StartError
from mailworker.process.handover.zones import VARIABLE, announced, take_over
from mailworker.shm.limits import USE, Limits
from mailworker.shm.zones import Zones
from tests.shm.limits import SIX_A_MINUTE
from tests.support.recorded_log import RecordedLog

KEY = b"192.0.2.7"
SIZE = 64 << 10


def zone(size: int = SIZE, key: str = "$remote_addr", name: str = "fail") -> SharedZone:
    return SharedZone(name, size, USE, (key,))


def used(limits: Limits) -> Limits:
    table = limits.table(SIX_A_MINUTE)
    for _ in range(3):
        table.take(KEY, 1.0, 5000)
    table.ban(b"banned", 1.0, 1e9)
    return limits


def knows(limits: Limits) -> bool:
    table = limits.table(SIX_A_MINUTE)
    return table.banned(b"banned", 1.0) > 0 and table.take(KEY, 1.0, 0) == -1 - 3000


def of(zones: Zones, wanted: SharedZone) -> Limits:
    return zones.get(Limits, wanted)


def test_what_one_process_counts_others_see() -> None:
    limits = Limits("fail", SIZE, "$remote_addr")
    pid = os.fork()
    if pid == 0:
        used(limits)
        os._exit(0)
    os.waitpid(pid, 0)
    assert knows(limits)


def test_a_reload_goes_on_with_the_zone_whatever_its_size_becomes() -> None:
    zones = Zones([zone()])
    used(of(zones, zone()))
    same = Zones([zone()], zones)
    assert of(same, zone()) is of(zones, zone())
    for size in (4 * SIZE, SIZE // 2):
        assert knows(of(Zones([zone(size)], zones), zone(size)))


def test_a_reload_with_another_key_fails_and_changes_nothing() -> None:
    zones = Zones([zone()])
    used(of(zones, zone()))
    with pytest.raises(StartError) as caught:
        Zones([zone(key="$remote_user")], zones)
    assert str(caught.value) == (
        'limit_auth_zone "fail" uses the "$remote_user" key while previously it used the "$remote_addr" key'
    )
    assert knows(of(zones, zone()))


def handed_over(former: Limits, limits: Limits) -> Limits:
    with announced([former], RecordedLog().log) as told:
        inherited = os.dup(int(told[VARIABLE].removesuffix(";")))
        take_over(f"{inherited};", [limits])
    return limits


def test_another_binary_goes_on_with_a_copy() -> None:
    for size in (SIZE, 2 * SIZE):
        for key in ("$x", "$x\udcff"):
            assert knows(handed_over(used(Limits("fail", SIZE, key)), Limits("fail", size, key)))


@pytest.mark.parametrize(("name", "key"), [("fail", "$y"), ("other", "$x")])
def test_another_binary_with_other_keys_begins_anew(name: str, key: str) -> None:
    limits = handed_over(used(Limits("fail", SIZE, "$x")), Limits(name, SIZE, key))
    assert limits.table(SIX_A_MINUTE).usage(1.0)[0] == 0


def test_a_copy_that_cannot_be_is_no_more_than_a_wrong_count() -> None:
    whole = b"".join(used(Limits("fail", SIZE, "$x")).contents())
    for copy in (b"", b"\xff" * 4, whole[:5], whole[:20], whole[:38], whole[:-1]):
        limits = Limits("fail", SIZE, "$x")
        limits.take_over(copy)
        assert limits.table(SIX_A_MINUTE).take(b"new", 1.0, 0) == 0


def test_each_zone_has_a_secret_of_its_own() -> None:
    first, second = (b"".join(Limits("fail", SIZE, "$x").contents()) for _ in range(2))
    assert first != second
