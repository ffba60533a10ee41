from __future__ import annotations

from dataclasses import replace

import pytest

from mailworker.config.zones import SharedZone
from mailworker.shm.limits import Limits
from mailworker.shm.shared import Shared
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.tls_sessions import TlsSessions
from mailworker.shm.zones import Zones

SMALL = SharedZone("SSL", 32768, "ssl_session_cache")
LARGE = SharedZone("SSL", 65536, "ssl_session_cache")
OTHER = SharedZone("other", 32768, "ssl_session_cache")


def test_what_the_configuration_declares_is_there_by_name() -> None:
    zones = Zones((SMALL, OTHER))
    assert zones.get(TlsSessions, SMALL) is zones.get(TlsSessions, replace(SMALL))
    assert zones.get(TlsSessions, SMALL) is not zones.get(TlsSessions, OTHER)
    assert (zones.get(TlsSessions, OTHER).name, zones.get(TlsSessions, OTHER).size) == ("other", 32768)


@pytest.mark.parametrize(("kind", "wanted"), [(TlsSessions, LARGE), (TlsSessions, OTHER), (Limits, SMALL)])
def test_no_zone_but_those_of_the_configuration(kind: type[Shared], wanted: SharedZone) -> None:
    with pytest.raises(KeyError):
        Zones((SMALL,)).get(kind, wanted)


def test_a_reload_keeps_a_zone_of_the_same_name_and_size() -> None:
    old = Zones((SMALL, OTHER))
    new = Zones((SMALL,), old)
    assert new.get(TlsSessions, SMALL) is old.get(TlsSessions, SMALL)
    assert new.get(TicketKeys, SMALL) is old.get(TicketKeys, SMALL)


def test_a_reload_with_another_size_starts_an_empty_zone_and_leaves_the_old_one() -> None:
    old = Zones((SMALL,))
    old.get(TlsSessions, SMALL).memory[:3] = b"old"
    new = Zones((LARGE,), old)
    assert bytes(new.get(TlsSessions, LARGE).memory) == bytes(LARGE.size)
    assert old.get(TlsSessions, SMALL).memory[:3] == b"old"


def test_ticket_keys_go_on_in_a_zone_of_another_size() -> None:
    """As they do in a new binary: of all that a zone has, only the sessions need its size."""
    old = Zones((SMALL, OTHER))
    for zone in (SMALL, OTHER):
        old.get(TicketKeys, zone).rotate(1.0, 300.0)
    new = Zones((LARGE,), old).get(TicketKeys, LARGE)
    new.rotate(2.0, 300.0)
    assert new.read() == old.get(TicketKeys, SMALL).read()


def test_a_zone_that_one_configuration_left_out_starts_empty_again() -> None:
    first = Zones((SMALL, OTHER))
    third = Zones((SMALL, OTHER), Zones((OTHER,), first))
    assert third.get(TlsSessions, SMALL) is not first.get(TlsSessions, SMALL)
    assert third.get(TlsSessions, OTHER) is first.get(TlsSessions, OTHER)


def test_whoever_is_replaced_publishes_no_keys_but_those_that_go_on() -> None:
    old = Zones((SMALL, OTHER))
    new = Zones((SMALL,), old)
    old.stop_publishing(new)
    new.get(TicketKeys, SMALL).rotate(1.0, 300.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        old.get(TicketKeys, OTHER).rotate(1.0, 300.0)


def test_everything_that_is_shared_has_a_label_of_its_own() -> None:
    labels = [(shared.kind, shared.layout, shared.name) for shared in Zones((SMALL, OTHER))]
    assert sorted(labels) == [
        ("TLS sessions", 1, "SSL"),
        ("TLS sessions", 1, "other"),
        ("ticket keys", 1, "SSL"),
        ("ticket keys", 1, "other"),
    ]
