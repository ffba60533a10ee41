"""The subcommands of mailworker-ctl, as rows of a table."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from mailworker.control.client import Client
from mailworker.control.output import BANS, CERTIFICATES, LIMITS, SESSIONS, WHO, Column, table, word
from mailworker.errors import counted, printable

DONE: Final = 0
NONE_MATCHED: Final = 1
"""Nothing matched, or the command has failed."""
USAGE: Final = 2
"""The command line was wrong, or the command is not allowed."""
NO_ANSWER: Final = 3

Say = Callable[[str], None]
_UNITS: Final = {"y": 365 * 86400, "M": 30 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_TIME: Final = re.compile("(?=.)" + "".join(rf"(?:(\d+){unit}{'?' * (unit == 's')})?" for unit in _UNITS), re.ASCII)


class Subcommand(NamedTuple):
    """A row. `options` declares its arguments; `run` returns the exit code."""

    name: str
    help: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Client, Namespace, Say], int]


def seconds(text: str) -> int:
    """A time as in nginx, such as 90, 5m or 1h30m."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f'invalid time "{text}"')
    return sum(int(count) * unit for count, unit in zip(match.groups("0"), _UNITS.values(), strict=True))


def _whole(text: str) -> int:
    """A number that is neither negative nor larger than any request allows."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None:
        raise ArgumentTypeError(f'invalid number "{text}"')
    return int(text)


def select(parser: ArgumentParser) -> None:
    """The options that select sessions; all of them must match."""
    parser.add_argument("masks", nargs="*", metavar="MASK", help="users, as -u")
    parser.add_argument("-u", "--user", metavar="MASK", help="name of the login; * is anything, ? one character")
    parser.add_argument("-a", "--address", metavar="ADDR[/BITS]", help='client\'s address or block, or "unix:"')
    parser.add_argument("-b", "--backend", metavar="UPSTREAM", help="backend, as ADDRESS:PORT, ADDRESS or unix:PATH")
    parser.add_argument("-p", "--protocol", help="imap, pop3, smtp or sieve")
    parser.add_argument("-s", "--server", help="the server's status_zone, or its first listen")
    parser.add_argument("--state", help="login, auth, upstream or relay")
    parser.add_argument("-o", "--older", type=seconds, metavar="TIME", help="at least this old, such as 90, 5m, 2h")
    parser.add_argument("-i", "--id", help="the session's id, $session_id of logs")


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def choices(arguments: Namespace) -> Iterator[dict[str, Any]]:
    """The selectors, once for each user that was named."""
    users = [*arguments.masks, *([arguments.user] if arguments.user is not None else [])]
    for user in users or [None]:
        yield {
            "user": user,
            "address": arguments.address,
            "upstream": arguments.backend,
            "protocol": arguments.protocol,
            "server": arguments.server,
            "state": arguments.state,
            "older": arguments.older,
            "id": arguments.id,
        }


def _each(client: Client, arguments: Namespace, command: str, **keys: Any) -> Iterator[dict[str, Any]]:
    """All selected sessions, each once."""
    told = set()
    for choice in choices(arguments):
        for line in client.ask(command, **choice, **keys):
            if "session" in line and line["session"]["id"] not in told:
                told.add(line["session"]["id"])
                yield line["session"]


def _show(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], arguments: Namespace, say: Say) -> int:
    """Print rows; returns the exit code."""
    code = NONE_MATCHED
    for text in map(json.dumps, rows) if arguments.json else table(columns, rows):
        say(text)
        code = DONE
    return code


def _sessions_options(parser: ArgumentParser) -> None:
    select(parser)
    _json(parser)
    parser.add_argument("--limit", type=_whole, metavar="N", help="show no more than N")


def _sessions(client: Client, arguments: Namespace, say: Say) -> int:
    found = islice(_each(client, arguments, "sessions", limit=arguments.limit), arguments.limit)
    return _show(SESSIONS, found, arguments, say)


def _who_options(parser: ArgumentParser) -> None:
    select(parser)
    _json(parser)


def _who(client: Client, arguments: Namespace, say: Say) -> int:
    """Sessions of each user by protocol, as in `doveadm who`; those without a login are left out."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for session in _each(client, arguments, "sessions"):
        user, protocol = session["user"], session["proto"]
        if not user:
            continue
        group = found.setdefault((user, protocol), {"user": user, "count": 0, "proto": protocol, "hosts": {}})
        group["count"] += 1
        group["hosts"][_host(session["client"])] = None
    rows = ({**group, "hosts": [*group["hosts"]]} for _, group in sorted(found.items()))
    return _show(WHO, rows, arguments, say)


def _host(client: str) -> str:
    """The address in a client's name, which has no port if that is unknown."""
    if client.startswith("unix:"):
        return client
    host, _, port = client.rpartition(":")
    return (host if host and "]" not in port else client).strip("[]")


def _kick_options(parser: ArgumentParser) -> None:
    select(parser)
    parser.add_argument("--all", action="store_true", help="all sessions, if no other option selects any")
    parser.add_argument("--reason", metavar="TEXT", help="the reason, for the log")
    parser.add_argument("--rate", type=_whole, metavar="N", help="end at most N per second, by default 100")
    parser.add_argument("--ban", type=seconds, metavar="TIME", help="ban their users for this time")
    parser.add_argument("--dry-run", action="store_true", help="list the sessions that would end")
    _json(parser)


def _kick(client: Client, arguments: Namespace, say: Say) -> int:
    if arguments.dry_run:
        return _show(SESSIONS, _each(client, arguments, "kick", **_kick_keys(arguments)), arguments, say)
    kicked = foreign = 0
    zones: dict[str, list[str]] = {}
    for choice in choices(arguments):
        last = client.last("kick", **choice, **_kick_keys(arguments))
        kicked += last["kicked"]
        foreign += last["foreign"]
        for key in {"banned_in", "not_banned_in"} & last.keys():
            zones[key] = sorted({*zones.get(key, ()), *last[key]})
    if arguments.json:
        say(json.dumps({"kicked": kicked, "foreign": foreign, **zones}))
        return DONE if kicked else NONE_MATCHED
    say(f"kicked {counted(kicked, 'session')}")
    if zones.get("banned_in"):
        say(f"banned in {', '.join(zones['banned_in'])}")
    if zones.get("not_banned_in"):
        say(f"not banned in {', '.join(zones['not_banned_in'])}: the key is not the user alone")
    if foreign:
        say(f"{counted(foreign, 'session')} more of the old binary, which does not answer: end it, or wait")
    return DONE if kicked else NONE_MATCHED


def _kick_keys(arguments: Namespace) -> dict[str, Any]:
    return {
        "all": arguments.all or None,
        "reason": arguments.reason,
        "rate": arguments.rate,
        "ban": arguments.ban,
        "dry_run": arguments.dry_run or None,
    }


def _certificates_options(parser: ArgumentParser) -> None:
    parser.add_argument("--within", type=int, metavar="DAYS", help="only those that expire within this number of days")
    _json(parser)


def _certificates(client: Client, arguments: Namespace, say: Say) -> int:
    found = (line["certificate"] for line in client.ask("certificates") if "certificate" in line)
    most = arguments.within
    wanted = (row for row in found if most is None or row.get("days", most) < most)
    return _show(CERTIFICATES, sorted(map(_noted, wanted), key=lambda row: int(row.get("ends", 0))), arguments, say)


def _noted(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A certificate with a note; a file that cannot be used has only the note."""
    unused = row.get("unused")
    return {**row, "note": row.get("fault") or (f"not used for {' '.join(unused)}" if unused else None)}


def _reload(client: Client, arguments: Namespace, say: Say) -> int:
    """Reload, or only show the last result, as the subcommand says."""
    last = client.last(arguments.subcommand)["reload"]
    error = last["error"]
    if arguments.json:
        say(json.dumps(last))
    else:
        when = datetime.fromtimestamp(last["time"]).astimezone().isoformat(" ", "seconds")
        number = f"configuration {last['generation']}"
        good = f"{number}, last read at {when}: ok"
        say(good if error is None else f"reload failed at {when}, {number} stays in use: {printable(error)}")
    return DONE if error is None else NONE_MATCHED


def _log_level_options(parser: ArgumentParser) -> None:
    levels = ("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg", "default")
    parser.add_argument(
        "level", nargs="?", choices=levels, help="until the next reload; default is the configuration's"
    )


def _log_level(client: Client, arguments: Namespace, say: Say) -> int:
    say(word(client.last("log-level", level=arguments.level)["level"]))
    return DONE


def _shutdown_status(client: Client, arguments: Namespace, say: Say) -> int:
    found = client.last("shutdown-status")["shutdown"]
    if arguments.json:
        say(json.dumps(found))
        return DONE
    say("shutting down" if found["stopping"] else "serving")
    for worker in found["workers"]:
        state = "leaving" if worker["leaving"] else "serving" if worker["serves"] else "starting"
        sessions = f", {counted(worker['sessions'], 'session')}" if "sessions" in worker else ""
        say(f"worker {worker['worker']} (pid {worker['pid']}): {state}{sessions}")
    return DONE


def _probe_options(parser: ArgumentParser) -> None:
    parser.add_argument("backend", nargs="?", metavar="UPSTREAM", help="ADDRESS:PORT; without it, those of proxy_pass")
    parser.add_argument("-s", "--server", help="connect as this server does: its status_zone, or its first listen")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="the sender, by default empty")
    parser.add_argument("--to", dest="recipient", metavar="ADDRESS", help="a recipient elsewhere (probe@example.org)")
    _json(parser)


def _probe(client: Client, arguments: Namespace, say: Say) -> int:
    keys = {"upstream": arguments.backend, "server": arguments.server}
    code = DONE
    for line in client.ask("probe-relay", **keys, **{"from": arguments.sender, "to": arguments.recipient}):
        found = line.get("probe")
        if found is None:
            continue
        if found["verdict"] != "refuses":
            code = NONE_MATCHED
        result = f"{found['upstream']} {found['verdict']} {found['how']}: {found['command']} -> {found['reply']}"
        say(json.dumps(found) if arguments.json else printable(f"server {found['server']}: {result}"))
    return code


def _limits(client: Client, arguments: Namespace, say: Say) -> int:
    found = (line["limit"] for line in client.ask("limits") if "limit" in line)
    return _show(LIMITS, found, arguments, say)


def _zone_option(parser: ArgumentParser) -> None:
    parser.add_argument("-z", "--zone", metavar="NAME", help="in this zone only")
    _json(parser)


def _bans(client: Client, arguments: Namespace, say: Say) -> int:
    found = (line["ban"] for line in client.ask("bans", zone=arguments.zone) if "ban" in line)
    return _show(BANS, found, arguments, say)


def _ban_options(parser: ArgumentParser) -> None:
    _key(parser)
    parser.add_argument("time", type=seconds, metavar="TIME", help="for how long, such as 90, 15m, 2h, 1d")
    _zone_option(parser)


def _key(parser: ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="an address, a network, or another key of the zone")


def _ban(client: Client, arguments: Namespace, say: Say) -> int:
    last = client.last("ban", key=arguments.key, seconds=arguments.time, zone=arguments.zone)
    return _show_zones(last, "banned", arguments, say)


def _unban_options(parser: ArgumentParser) -> None:
    _key(parser)
    _zone_option(parser)


def _unban(client: Client, arguments: Namespace, say: Say) -> int:
    return _show_zones(client.last("unban", key=arguments.key, zone=arguments.zone), "no longer banned", arguments, say)


def _show_zones(last: Mapping[str, Any], what: str, arguments: Namespace, say: Say) -> int:
    zones = last["zones"]
    if arguments.json:
        say(json.dumps({"zones": zones}))
    elif zones:
        say(f"{printable(arguments.key)} is {what} in {', '.join(map(printable, zones))}")
    else:
        say(f"{printable(arguments.key)} is not banned")
    return DONE if zones else NONE_MATCHED


SUBCOMMANDS: Final[tuple[Subcommand, ...]] = (
    Subcommand("sessions", "list sessions", _sessions_options, _sessions),
    Subcommand("who", "list users with their sessions", _who_options, _who),
    Subcommand("kick", "end sessions", _kick_options, _kick),
    Subcommand("limits", "show how full the zones of limit_auth are", _json, _limits),
    Subcommand("bans", "list bans", _zone_option, _bans),
    Subcommand("ban", "ban an address, a network or another key for a time", _ban_options, _ban),
    Subcommand("unban", "lift a ban", _unban_options, _unban),
    Subcommand("certificates", "list certificates, the first to expire first", _certificates_options, _certificates),
    Subcommand("reload", "reload the configuration, and wait for the result", _json, _reload),
    Subcommand("reload-status", "show the result of the last reload", _json, _reload),
    Subcommand("log-level", "show or set the level of the error log", _log_level_options, _log_level),
    Subcommand("shutdown-status", "show which workers serve, and which are shutting down", _json, _shutdown_status),
    Subcommand("probe-relay", "test whether a backend relays mail without a login", _probe_options, _probe),
)
