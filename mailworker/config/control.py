"""The `control` block: unix sockets for mailworker-ctl and similar clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from mailworker.config.command import ONE_OR_MORE, only_block, served_block
from mailworker.config.drafts import Context
from mailworker.config.listen import Access, Listen, listen_url
from mailworker.config.rows import Value, commands, merged, row
from mailworker.config.slots import group_id, present, user_id
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Address, UnixAddress


@dataclass(frozen=True, slots=True)
class ControlListen:
    """A socket; clients of a `readonly` one may only read."""

    listen: Listen
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The control sockets of the status process."""

    sockets: tuple[ControlListen, ...]


_MODE: Final = re.compile("0?[0-7]{3}")


def _mode(parser: Parser, access: Access, word: str, value: str) -> Access:
    if _MODE.fullmatch(value) is None:
        raise parser.error(f'invalid mode "{word}"')
    return replace(access, mode=int(value, 8))


_PARAMETERS: Final[dict[str, Callable[[Parser, Access, str, str], Access]]] = {
    "mode": _mode,
    "user": lambda parser, access, _, value: replace(access, uid=user_id(parser, value)),
    "group": lambda parser, access, _, value: replace(access, gid=group_id(parser, value)),
}


def _take_listen(parser: Parser, earlier: tuple[ControlListen, ...]) -> tuple[ControlListen, ...]:
    address = _address(parser)
    if any(each.listen.address == address for each in present(earlier)):
        raise parser.error(f'duplicate "{address}" address and port pair')
    access, readonly = Access(), False
    for word in parser.words[2:]:
        name, equals, value = word.partition("=")
        if word == "readonly":
            readonly = True
        elif equals and name in _PARAMETERS:
            access = _PARAMETERS[name](parser, access, word, value)
        else:
            raise parser.error(f'invalid parameter "{word}"')
    return (*present(earlier), ControlListen(Listen(address, access=access), readonly))


def _address(parser: Parser) -> UnixAddress:
    text = parser.words[1]
    if not text.startswith("unix:"):
        raise parser.error('only unix sockets are allowed in "control"')
    (address,) = listen_url(parser).addresses
    assert isinstance(address, UnixAddress)
    if not address.path.startswith("/"):
        raise parser.error(f'the path of "{text}" is not absolute')
    return address


@dataclass(slots=True)
class ControlDraft:
    """The contents of the block."""

    listen: tuple[ControlListen, ...] = row(Context.CONTROL, ONE_OR_MORE, Value(_take_listen), ())


def freeze(parser: Parser, taken: Iterable[Address], *, master: bool) -> ControlSettings | None:
    """The block's settings; `taken` are the addresses of other listeners. Raises ConfigError."""
    scope = served_block(parser, Context.CONTROL, master=master)
    if scope is None:
        return None
    sockets = merged(ControlDraft, scope).listen
    if not sockets:
        raise ConfigError('no "listen" is defined for control', scope.opened_at)
    for each in sockets:
        if each.listen.address in taken:
            raise ConfigError(f'duplicate "{each.listen.address}" address and port pair', scope.opened_at)
    return ControlSettings(sockets)


COMMANDS: Final = (only_block(Context.CONTROL), *commands(ControlDraft))
