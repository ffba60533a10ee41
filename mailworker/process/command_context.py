"""What the status process looks up or tests for clients of the control socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import time
from typing import Any, Final

from mailworker.config.addresses import BadAddress
from mailworker.config.proxy_pass import read_backend
from mailworker.errors import escape
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.log.log import Log
from mailworker.mail.counting import label
from mailworker.mail.limits.zones import LimitZones
from mailworker.mail.probe import RECIPIENT, Envelope, Manner, probe
from mailworker.mail.server import Server
from mailworker.model import Address, BackendName, Level
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.pair import other_names
from mailworker.process.cycle import Cycle
from mailworker.process.questions import Questions
from mailworker.shm.counters import Counters
from mailworker.shm.limits import Limits
from mailworker.shm.sessions import SessionTable
from mailworker.status.control import CommandContext
from mailworker.status.control_server import Denied
from mailworker.status.master_state import MasterWord, posted

_DAY: Final = 86400
# Connections that probes may have open at one time.
_MOST_PROBES: Final = 64


def command_context(cycle: Cycle, counters: Counters, loop: Loop, questions: Questions) -> CommandContext:
    """What the commands of the control socket work with."""
    table = cycle.session_table
    return CommandContext(
        sessions=None if table is None else table.rows,
        unlisted=lambda: 0 if table is None else table.unlisted,
        ask=questions.ask,
        certificates=partial(certificates, cycle),
        shutdown=partial(shutdown, counters, table),
        probe=partial(_probe, cycle.service.servers, Connections(loop, _MOST_PROBES)),
        note=partial(_note, cycle.log),
        limits=limit_zones(cycle),
    )


def limit_zones(cycle: Cycle) -> LimitZones:
    """The zones of limits, to be shown and changed."""
    zones = {zone.name: zone for zone in cycle.zones if isinstance(zone, Limits)}
    return LimitZones(cycle.settings.servers, lambda zone: zones[zone.name])


def _note(log: Log, text: str) -> bool:
    log.write(Level.NOTICE, text)
    return log.enabled(Level.NOTICE)


def certificates(cycle: Cycle) -> Iterator[Mapping[str, Any]]:
    """The certificates that servers send to clients, from files and from folders, each with its path."""
    told = set()
    for server, leaf, path in cycle.certificates:
        name = label(server).server
        if (name, path) not in told:
            told.add((name, path))
            yield _certificate(name, path, _names(leaf), time() + leaf.seconds_left, leaf)
    for scan in cycle.watched.folders.scans.values():
        faults = scan.faults
        for pair in scan.folder:
            served = {*scan.folder.served(pair)}
            unused = [name.decode("latin-1") for name in pair.names if name not in served]
            row = _certificate(None, pair.path, map(escape, pair.names), pair.ends, pair.leaf)
            yield {**row, "unused": unused, "fault": faults.pop(pair.path, None)}
        for path, fault in faults.items():
            yield {"server": None, "names": [], "path": escape(path), "fault": fault}


def _certificate(
    server: str | None, path: str, names: Iterable[str], ends: float, leaf: Certificate
) -> Mapping[str, Any]:
    return {
        "server": server,
        "names": [*names],
        "subject": escape(leaf.subject),
        "serial": leaf.serial.decode(),
        "ends": round(ends),
        "days": int((ends - time()) // _DAY),
        "path": escape(path),
    }


def _names(leaf: Certificate) -> list[str]:
    return [escape(name) for name in dict.fromkeys((leaf.common_name, *other_names(leaf))) if name]


def shutdown(counters: Counters, table: SessionTable | None) -> Mapping[str, Any]:
    """The workers that serve and those that shut down, with their sessions if there is a session table."""
    sessions = Counter(session.worker for session in (() if table is None else table.rows()) if not session.foreign)
    workers = [
        {
            "worker": each.number,
            "pid": each.pid,
            "serves": each.serves,
            "leaving": each.leaving,
            **({} if table is None else {"sessions": sessions[each.row]}),
        }
        for each in posted(counters)
        if each.works
    ]
    return {"stopping": bool(counters.master_word(MasterWord.STOPPING)), "workers": workers}


async def _probe(
    servers: Sequence[Server], connections: Connections, found: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Any]]:
    """What each chosen backend lets clients without a login do."""
    envelope = Envelope(_mailbox(found.get("from", "")), _mailbox(found.get("to", RECIPIENT)))
    for server, address in _targets(servers, found.get("upstream"), found.get("server")):
        manner = Manner(server.settings.server_name, server.settings.proxy, server.backend_tls)
        for finding in await probe(connections, address, envelope, manner):
            yield {
                "server": label(server.settings).server,
                "upstream": str(address),
                "how": finding.how,
                "verdict": finding.verdict.value,
                "command": finding.command,
                "reply": finding.reply,
            }


def _mailbox(text: str) -> str:
    if any(character in " <>" or not 32 < ord(character) < 127 for character in text):
        raise Denied(f'"{escape(text)}" is not a mail address')
    return text


def _targets(servers: Sequence[Server], name: str | None, wanted: str | None) -> list[tuple[Server, Address]]:
    """The SMTP servers and backends to probe: the configured backends, or the one called `name`. Raises Denied."""
    candidates = [
        server
        for server in servers
        if server.settings.protocol == "smtp" and wanted in (None, label(server.settings).server)
    ]
    if not candidates:
        raise Denied("there is no such SMTP server")
    configured = [(server, address) for server in candidates for address in server.settings.proxy.addresses]
    if name is None:
        if not configured:
            raise Denied("no SMTP server has a configured backend: name one")
        return configured
    address = _address(name)
    mine = [server for server, each in configured if each == address]
    return [((mine or candidates)[0], address)]


def _address(name: str) -> Address:
    try:
        address = read_backend(name)
    except BadAddress as reason:
        raise Denied(f'{reason} in "{escape(name)}"') from None
    if isinstance(address, BackendName):
        raise Denied(f'"{escape(name)}" is not an address')
    return address
