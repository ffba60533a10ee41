"""`map`: what nginx does as well is held against it in tests/oracle."""

from __future__ import annotations

import pickle
import time
import timeit
from typing import Any

import pytest

from mailworker.errors import ProtocolError
from mailworker.native.regex import Regex
from mailworker.variables.host_table import HostTable
from mailworker.variables.map import Map
from mailworker.variables.template import Template, parse
from mailworker.variables.variables import Variables
from tests.variables.facts import Session
from tests.variables.hosts import hosts


def value(map_: Map, user: bytes) -> bytes | None:
    return Variables({"m": map_}).find("m")(Session(remote_user=user))


USER = parse(b"$remote_user")


def test_captures_of_a_regex_live_no_longer_than_its_value() -> None:
    """Two names of one number: CVE-2026-42533 and CVE-2026-60005 were captures of one map used in another."""
    inner = Map(USER, regexes=((Regex(b"^(?<part>.)"), parse(b"<$part$1>")),))
    outer = Map(USER, regexes=((Regex(b"(.)$"), parse(b"$1$inner$1")),))
    assert Variables({"inner": inner, "outer": outer}).find("outer")(Session(remote_user=b"abc")) == b"c<aa>c"


def test_a_group_that_took_no_part_is_empty() -> None:
    map_ = Map(USER, regexes=((Regex(b"(a)|(b)"), parse(b"[$1|$2|$3]")),))
    assert value(map_, b"b") == b"[|b|]"


def test_a_value_of_percent_signs_stays_as_it_is() -> None:
    map_ = Map(USER, regexes=((Regex(b"(.*)"), parse(b"%s $1 %%")),))
    assert value(map_, b"%d") == b"%s %d %%"


def test_a_text_that_no_regex_may_see_ends_the_session_rather_than_go_to_the_default() -> None:
    map_ = Map(USER, b"default", regexes=((Regex(b"x"), b"y"),))
    with pytest.raises(ProtocolError):
        value(map_, b"a" * 10_000)


def test_masks_take_no_longer_for_a_login_of_many_dots() -> None:
    map_ = Map(USER, b"none", table=hosts({"*.example.com": b"head", "www.example.*": b"tail"}))
    assert timeit.timeit(lambda: value(map_, b"." * 100_000), number=1, timer=time.process_time) < 0.1


def test_a_map_goes_from_the_process_that_reads_it_to_the_master() -> None:
    map_ = Map(USER, b"d", table=hosts({"a": parse(b"$protocol")}), regexes=((Regex(b"(?<n>B)", True), parse(b"$n")),))
    sent: Map = pickle.loads(pickle.dumps(map_))
    assert [value(sent, user) for user in (b"A", b"b", b"c")] == [b"imap", b"b", b"d"]


class Watched(HostTable[bytes | Template]):
    """A table that counts who goes through all of it."""

    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()


def test_all_entries_are_looked_at_once_however_many_servers_there_are() -> None:
    table = Watched()
    assert table.add_name(b"a", b"1")
    assert table.add_name(b"b", parse(b"$protocol"))
    map_ = Map(USER, table=table)
    assert [value(map_, user) for user in (b"a", b"b", b"c")] == [b"1", b"imap", b""]
    assert table.walks == 1


@pytest.mark.parametrize("more", [{}, {"user": parse(b"$protocol")}], ids=["plain", "with variables"])
def test_entries_are_kept_as_they_are_for_all_workers_to_share(more: dict[str, Template]) -> None:
    users = {f"user{number}": b"10.0.0.1:143" for number in range(100)}
    table: HostTable[bytes | Template] = hosts({**users, **more})
    bound = Variables({"m": Map(USER, table=table)}).find("m")
    cells = [cell.cell_contents for cell in bound.__closure__ or ()]
    assert table.names in [each for each in cells if isinstance(each, dict)]
