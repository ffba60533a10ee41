"""What an operator sees of the zones of limits, and changes in them; any process that has the zones can do it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_ntop
from time import monotonic
from typing import NamedTuple, Protocol

from mailworker.config.limit_auth import LimitAuthSettings, LimitZone
from mailworker.errors import escape
from mailworker.shm.attempts import ban_by_operator
from mailworker.shm.keys import packed_key, text_key, user_key
from mailworker.shm.limit_table import LimitTable
from mailworker.shm.limits import Limits
from mailworker.variables.prefix import WHOLE, Lengths, packed_prefix, spelled_prefix
from mailworker.variables.table import USERS
from mailworker.variables.template import Name, Template

MOST: int = 10_000
"""Bans that are listed at most."""


class ZoneUse(NamedTuple):
    """`room` is how many entries there can be; `dropped` counts those that still counted and had to make room."""

    zone: str
    key: str
    entries: int
    bans: int
    room: int
    dropped: int


class ZoneBan(NamedTuple):
    """A key that is banned for `seconds` yet, as people write it; `whole` tells whether it is all of the key."""

    zone: str
    key: str
    seconds: float
    whole: bool


class LimitedServer(Protocol):
    """The part of the settings of a `server` block that is needed here."""

    @property
    def limit_auth(self) -> LimitAuthSettings: ...


class LimitZones:
    """The zones of one configuration."""

    __slots__ = ("_banning", "_clock", "_zones")

    def __init__(
        self,
        servers: Iterable[LimitedServer],
        find: Callable[[LimitZone], Limits],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`find` gives the memory of a zone. `clock` is the monotonic one, in seconds."""
        self._clock = clock
        self._zones: dict[str, _Zone] = {}
        self._banning: set[str] = set()
        for server in servers:
            self._banning |= {limit.zone.name for limit in server.limit_auth.limits if limit.ban}
            for zone in server.limit_auth.zones:
                if zone.name not in self._zones:
                    self._zones[zone.name] = _Zone(zone, find(zone), server.limit_auth.prefix)

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(self._zones)

    def usage(self) -> list[ZoneUse]:
        """How full each is."""
        return [zone.usage(self._clock()) for zone in self._zones.values()]

    def bans(self, most: int = MOST) -> list[ZoneBan]:
        """The bans, at most `most` of each zone."""
        return [ban for zone in self._zones.values() for ban in zone.bans(self._clock(), most)]

    def ban(self, key: str, seconds: float, zone: str | None = None) -> list[str]:
        """Ban a key, as people write it, in one zone or in all that it can be a key of; gives their names.

        Zones without a `limit_auth` that has `ban=` are left out: no server looks for bans there. Nor is an address or
        a network taken for a user, unless that zone is named: this would ban nobody, and look as if it had.
        """
        client = zone is None and _is_client(key)

        def ban(each: _Zone, packed: bytes) -> bool:
            useful = each.name in self._banning and not (client and each.counts_users is not False)
            return useful and each.ban(packed, self._clock(), seconds)

        return self._change(key, zone, ban)

    def ban_user(self, user: str, seconds: float) -> list[str]:
        """Ban a user in all zones whose key is the user and nothing else; gives their names."""
        zones = [each for each in self._zones.values() if each.name in self._banning and each.counts_users]
        packed = user_key(user.encode(errors="surrogateescape"))
        return [each.name for each in zones if each.ban(packed, self._clock(), seconds)]

    @property
    def beyond_users(self) -> list[str]:
        """The zones that ban by keys with the user and more, so that nobody can ban a user there."""
        zones = self._zones.values()
        return [each.name for each in zones if each.name in self._banning and each.counts_users is None]

    def unban(self, key: str, zone: str | None = None) -> list[str]:
        """Lift bans of a key, and forget what it had come to; gives the zones that had one."""

        def lift(each: _Zone, packed: bytes) -> bool:
            banned = each.table.banned(packed, self._clock()) > 0
            if banned:
                each.ban(packed, self._clock(), 0)
                while each.table.take(packed, self._clock(), 0) < 0:
                    each.table.give_back(packed)
                each.table.give_back(packed)
            return banned

        return self._change(key, zone, lift)

    def _change(self, key: str, zone: str | None, change: Callable[[_Zone, bytes], bool]) -> list[str]:
        chosen = self._zones.values() if zone is None else [self._zones[zone]] if zone in self._zones else []
        return [each.name for each in chosen if (packed := each.read(key)) is not None and change(each, packed)]


class _Zone:
    """One zone, with the way in which its keys are written."""

    __slots__ = ("_key", "_lengths", "_memory", "_packed", "_pattern", "_zone", "name", "table")

    def __init__(self, zone: LimitZone, memory: Limits, lengths: Lengths) -> None:
        self._key = zone.key.only or ""
        self._packed = not self._key and not _PACKED.isdisjoint(zone.key.names)  # nobody can type such keys
        self._pattern = _pattern(zone.key)
        self._lengths = lengths
        self._memory = memory
        self._zone = zone
        self.name = zone.name
        self.table: LimitTable = memory.table((zone.gain, zone.period))

    def usage(self, now: float) -> ZoneUse:
        entries, bans, room = self.table.usage(now)
        return ZoneUse(self.name, self._zone.text, entries, bans, room, self._memory.dropped)

    def bans(self, now: float, most: int) -> list[ZoneBan]:
        found = self.table.bans(now, most)
        return [ZoneBan(self.name, self._spell(key), left, whole) for key, whole, left in found]

    @property
    def counts_users(self) -> bool | None:
        """Whether its key is the user, None if that is only a part of it."""
        if self._key == "remote_user":
            return True
        return False if USERS.isdisjoint(self._zone.key.names) else None

    def ban(self, key: bytes, now: float, seconds: float) -> bool:
        """Ban a key, or lift its ban by 0 seconds. A ban of anything but an address holds for trusted clients, too."""
        if self._key in _ADDRESSES:
            return self.table.ban(key, now, seconds)
        return ban_by_operator(self.table, key, now, seconds)

    def read(self, text: str) -> bytes | None:
        """The key that people write as `text`, None if it cannot be a key of this zone.

        If keys are addresses, others are no keys, nor are networks of another length than those that are counted. Keys
        of several parts have no text if one of them is a packed address; otherwise the text must have the same parts.
        """
        if self._packed or self._pattern.fullmatch(text) is None:
            return None
        if self._key not in _ADDRESSES:
            key = text.encode(errors="surrogateescape")
            return user_key(key) if self._key in USERS else key
        if text == "unix:":
            return text.encode()
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return None
        lengths = self._lengths if self._key in _PREFIXES else WHOLE
        if network.prefixlen not in {network.max_prefixlen, lengths[network.version == 6]}:
            return None
        return _ADDRESSES[self._key](network.network_address, lengths)

    def _spell(self, key: bytes) -> str:
        if self._key in _PACKED and len(key) in range(1, 17) and key != b"unix:":
            return spelled_prefix(key, self._lengths if self._key in _PREFIXES else WHOLE)
        return escape(key)


def _is_client(text: str) -> bool:
    """Whether a key that people write is an address or a network, of any length."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text == "unix:"
    return True


def _pattern(key: Template) -> re.Pattern[str]:
    """Matches what can be a key of several parts, as people write it."""
    parts = key.parts if len(key.parts) > 1 else ()
    return re.compile("".join(map(_part, parts)) or ".*", re.DOTALL)


def _part(part: bytes | Name) -> str:
    if isinstance(part, Name):
        return _ADDRESS if part.name in _ADDRESSES else ".+" if part.name == "remote_user" else ".*"
    return re.escape(part.decode(errors="surrogateescape"))


def _prefix(address: IPv4Address | IPv6Address, lengths: Lengths) -> bytes:
    return packed_prefix(str(address), lengths)


# Matches an address or a prefix; neither a name nor a number alone is one.
_ADDRESS = r"(?:unix:|(?:[0-9]+(?:\.[0-9]+){3}|[0-9a-f]*:[0-9a-f.:]*:[0-9a-f.:]*)(?:/[0-9]+)?)"
_PREFIXES = frozenset({"binary_remote_prefix", "remote_prefix"})
_PACKED = frozenset({"binary_remote_prefix", "binary_remote_addr"})
_ADDRESSES: Mapping[str, Callable[[IPv4Address | IPv6Address, Lengths], bytes]] = {
    "binary_remote_addr": lambda address, _: packed_key(str(address)),
    "binary_remote_prefix": _prefix,
    "remote_addr": lambda address, _: text_key(
        inet_ntop(AF_INET6 if address.version == 6 else AF_INET, address.packed)
    ),
    "remote_prefix": lambda address, lengths: spelled_prefix(_prefix(address, lengths), lengths).encode(),
}
"""The key for an address, by the variable that alone makes up the key."""
