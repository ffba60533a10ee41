"""The commands of the control socket, as rows of a table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mailworker.errors import counted, escape
from mailworker.event.task import sleep
from mailworker.mail.limits.zones import MOST, LimitZones
from mailworker.model import Level
from mailworker.shm.session_row import SessionRow
from mailworker.status.control_server import Answers, Asker, Denied
from mailworker.status.listing import SELECTORS, Selection, is_logged_in, shown
from mailworker.wire.control_request import Read, flag, one_of, take, text, whole

RATE: Final = 100
"""The default rate of `kick`, in sessions a second, as the clients reconnect at once."""

# Seconds between two slices of sessions to end, and the number of sessions after which other tasks have their turn.
_SLICE: Final = 0.1
_TURN: Final = 1000

# The most sessions in one request to the master: each takes some 40 bytes.
_AT_ONCE: Final = 500

# Timeouts in seconds for the master: for quick commands, and for a reload.
_SOON: Final = 10.0
_RELOAD: Final = 300.0

# The longest ban in seconds: ten years.
_LONGEST_BAN: Final = 10 * 365 * 86400

_LEVELS: Final = {"default": 0, **{level.name.lower(): int(level) for level in Level}}


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The functions and data that the commands use.

    `sessions` returns all sessions; it is None without a session table. `unlisted` returns the number of sessions that
    did not fit into it. `ask` sends the master a command and an argument, with a timeout in seconds. `certificates` and
    `shutdown` return objects to show; `probe` tests backends. `note` writes to the log, and returns whether its level
    allows that. `limits` are the zones of limits.
    """

    sessions: Callable[[], Iterable[SessionRow]] | None
    unlisted: Callable[[], int]
    ask: Callable[[str, bytes, float], Awaitable[dict[str, Any]]]
    certificates: Callable[[], Iterable[Mapping[str, Any]]]
    shutdown: Callable[[], Mapping[str, Any]]
    probe: Callable[[Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]
    note: Callable[[str], bool]
    limits: LimitZones


class Command(NamedTuple):
    """A row: the keys of the request, the function, and whether it is a change, which `readonly` sockets refuse.

    If only some keys make it a change, `changes` are these.
    """

    keys: Mapping[str, Read]
    run: Callable[[CommandContext, Mapping[str, Any], Asker], Answers]
    changes: bool | tuple[str, ...] = False

    def is_change(self, found: Mapping[str, Any]) -> bool:
        """Whether a request with these keys changes something."""
        return self.changes if isinstance(self.changes, bool) else not found.keys().isdisjoint(self.changes)


def run_command(context: CommandContext, command: str, request: Mapping[str, Any], asker: Asker) -> Answers:
    """Run a command of the table; see `RunCommand`."""
    row = COMMANDS.get(command)
    if row is None:
        raise Denied(f'unknown command "{escape(command[:40])}"')
    found = take(request, row.keys)
    if asker.readonly and row.is_change(found):
        raise Denied("this socket is read-only")
    return row.run(context, found, asker)


async def _help(_context: CommandContext, _found: Mapping[str, Any], _asker: Asker) -> Answers:
    for name, row in COMMANDS.items():
        yield {"command": {"cmd": name, "keys": [*row.keys], "changes": row.changes}}
    yield {"ok": True}


def _all(context: CommandContext) -> Iterable[SessionRow]:
    if context.sessions is None:
        raise Denied('there is no session table: see "session_table"')
    return context.sessions()


async def _sessions(context: CommandContext, found: Mapping[str, Any], _asker: Asker) -> Answers:
    selection, most, number = Selection.of(found), found.get("limit"), 0
    for turn, session in enumerate(_all(context), 1):
        if number == most:
            break
        if selection.selects(session):
            number += 1
            yield {"session": shown(session)}
        if not turn % _TURN:
            yield {}
    yield {"ok": True, "count": number, "unlisted": context.unlisted()}


async def _kick(context: CommandContext, found: Mapping[str, Any], asker: Asker) -> Answers:
    selection = Selection.of(found)
    if not selection and not found.get("all"):
        raise Denied('"kick" needs a selector, or "all" (--all of mailworker-ctl)')
    selected: list[SessionRow] = []
    for turn, session in enumerate(_all(context), 1):
        if selection.selects(session):
            selected.append(session)
        if not turn % _TURN:
            yield {}
    banned = _ban_users(context, found, selected, asker) if "ban" in found and not found.get("dry_run") else {}
    if found.get("dry_run"):
        for session in selected:
            yield {"session": shown(session)}
        yield {"ok": True, "count": len(selected)}
        return
    told, rate = 0, found.get("rate", RATE)
    why = f"kicked by {asker}{_reason(found)}"
    try:
        for turn, part in enumerate(_slices(selected, rate)):
            if turn:
                yield {"kicked": told, "of": len(selected)}
                yield {}
                await sleep(max(_SLICE, 1 / rate))
            told += await _end(context, part, why)
    finally:
        context.note(_kick_message(asker, told, found))
    yield {"ok": True, "kicked": told, "foreign": len(selected) - told, **banned}


def _ban_users(
    context: CommandContext, found: Mapping[str, Any], selected: Iterable[SessionRow], asker: Asker
) -> Mapping[str, Sequence[str]]:
    """Ban the users of these sessions for some time; returns the zones with the bans, and those that have none.

    Sessions that are not logged in are skipped, as anybody may have sent the name, and so are shortened names.
    """
    known = (each.name for each in selected if is_logged_in(each) and not each.shortened)
    users = {name.decode(errors="surrogateescape"): None for name in known if name}
    mask = found.get("user")
    if mask is not None and mask.is_name:
        users[str(mask)] = None  # another session of this user may be about to log in
    if not users:
        raise Denied('"ban" needs users: none of the selected sessions is logged in')
    zones = [*dict.fromkeys(zone for user in users for zone in context.limits.ban_user(user, found["ban"]))]
    beyond = context.limits.beyond_users
    but = f", not in {', '.join(beyond)}, whose key is not the user alone" if beyond else ""
    if not zones:
        raise Denied(f'"ban" needs a zone of "limit_auth" with "ban=" whose key is the user{but}')
    context.note(
        f"control: {asker} banned {counted(len(users), 'user')} for {found['ban']}s in {', '.join(zones)}{but}"
    )
    return {"banned_in": zones, "not_banned_in": beyond}


async def _end(context: CommandContext, sessions: Sequence[SessionRow], why: str) -> int:
    """End sessions; returns the number that masters have accepted: an old master may not reply."""
    told = 0
    for command, foreign in (("kick", False), ("kick-former", True)):
        chosen = [f"{each.worker} {each.number} {each.id}" for each in sessions if each.foreign is foreign]
        for start in range(0, len(chosen), _AT_ONCE):
            lines = (why, *chosen[start : start + _AT_ONCE])
            answer = await context.ask(command, "\n".join(lines).encode(), _SOON)
            told += answer["told"]
    return told


def _slices(selected: Sequence[SessionRow], rate: int) -> Iterable[Sequence[SessionRow]]:
    size = max(int(rate * _SLICE), 1)
    return (selected[start : start + size] for start in range(0, len(selected), size))


def _kick_message(asker: Asker, told: int, found: Mapping[str, Any]) -> str:
    """The log message, with the selectors of the request."""
    chosen = [f'{key} "{escape(str(found[key]))}"' for key in SELECTORS if key in found]
    return f"control: {asker} kicked {counted(told, 'session')} of {', '.join(chosen) or 'all'}{_reason(found)}"


def _reason(found: Mapping[str, Any]) -> str:
    return f" ({escape(found['reason'])})" if "reason" in found else ""


async def _certificates(context: CommandContext, _found: Mapping[str, Any], _asker: Asker) -> Answers:
    number = 0
    for number, certificate in enumerate(context.certificates(), 1):  # noqa: B007 - it counts
        yield {"certificate": certificate}
    yield {"ok": True, "count": number}


async def _reload_status(context: CommandContext, _found: Mapping[str, Any], _asker: Asker) -> Answers:
    yield {"ok": True, "reload": await context.ask("reload-status", b"", _SOON)}


async def _reload(context: CommandContext, _found: Mapping[str, Any], asker: Asker) -> Answers:
    context.note(f"control: {asker} reloads")
    last = await context.ask("reload", b"", _RELOAD)
    yield {"ok": last["error"] is None, "reload": last}


async def _log_level(context: CommandContext, found: Mapping[str, Any], asker: Asker) -> Answers:
    level = found.get("level")
    if level is None:
        yield {"ok": True, **await context.ask("level", b"", _SOON)}
        return
    name = Level(level).name.lower() if level else "the configured one"
    change = f"control: {asker} sets the level of the error log to {name}"
    noted = context.note(change)
    answer = await context.ask("level", b"%d" % level, _SOON)
    if not noted:  # the new level may allow it
        context.note(change)
    yield {"ok": True, **answer}


async def _shutdown_status(context: CommandContext, _found: Mapping[str, Any], _asker: Asker) -> Answers:
    yield {"ok": True, "shutdown": context.shutdown()}


async def _probe(context: CommandContext, found: Mapping[str, Any], asker: Asker) -> Answers:
    context.note(f"control: {asker} probes whether a backend relays")
    async for finding in context.probe(found):
        yield {"probe": finding}
        yield {}
    yield {"ok": True}


async def _limits(context: CommandContext, _found: Mapping[str, Any], _asker: Asker) -> Answers:
    usage = context.limits.usage()
    for zone in usage:
        yield {"limit": zone._asdict()}
    yield {"ok": True, "count": len(usage)}


async def _bans(context: CommandContext, found: Mapping[str, Any], _asker: Asker) -> Answers:
    zone, most = _zone(context, found), found.get("limit", MOST)
    bans = [ban for ban in context.limits.bans(most) if zone in {None, ban.zone}][:most]
    for turn, ban in enumerate(bans, 1):
        yield {"ban": ban._asdict()}
        if not turn % _TURN:
            yield {}
    yield {"ok": True, "count": len(bans)}


async def _ban(context: CommandContext, found: Mapping[str, Any], asker: Asker) -> Answers:
    key, seconds, zone = found.get("key"), found.get("seconds"), _zone(context, found)
    if key is None or seconds is None:
        raise Denied('"ban" needs "key" and "seconds"')
    zones = context.limits.ban(key, seconds, zone)
    if not zones:
        raise Denied('"ban" needs a zone of "limit_auth" with "ban=" that has such keys')
    context.note(f'control: {asker} banned "{escape(key)}" for {seconds}s in {", ".join(zones)}')
    yield {"ok": True, "zones": zones}


async def _unban(context: CommandContext, found: Mapping[str, Any], asker: Asker) -> Answers:
    key, zone = found.get("key"), _zone(context, found)
    if key is None:
        raise Denied('"unban" needs "key"')
    zones = context.limits.unban(key, zone)
    if zones:
        context.note(f'control: {asker} lifted the ban of "{escape(key)}" in {", ".join(zones)}')
    yield {"ok": True, "zones": zones}


def _zone(context: CommandContext, found: Mapping[str, Any]) -> str | None:
    zone: str | None = found.get("zone")
    if zone is not None and zone not in context.limits.names:
        raise Denied(f'unknown zone "{escape(zone)}"')
    return zone


COMMANDS: Final[Mapping[str, Command]] = {
    "help": Command({}, _help),
    "sessions": Command({**SELECTORS, "limit": whole(0, 1 << 31)}, _sessions),
    "kick": Command(
        {
            **SELECTORS,
            "all": flag,
            "dry_run": flag,
            "rate": whole(1, 1_000_000),
            "reason": text,
            "ban": whole(1, _LONGEST_BAN),
        },
        _kick,
        changes=True,
    ),
    "limits": Command({}, _limits),
    "bans": Command({"zone": text, "limit": whole(0, MOST)}, _bans),
    "ban": Command({"key": text, "zone": text, "seconds": whole(1, _LONGEST_BAN)}, _ban, changes=True),
    "unban": Command({"key": text, "zone": text}, _unban, changes=True),
    "certificates": Command({}, _certificates),
    "reload": Command({}, _reload, changes=True),
    "reload-status": Command({}, _reload_status),
    "log-level": Command({"level": one_of(_LEVELS)}, _log_level, changes=("level",)),
    "shutdown-status": Command({}, _shutdown_status),
    "probe-relay": Command({"upstream": text, "server": text, "from": text, "to": text}, _probe, changes=True),
}
