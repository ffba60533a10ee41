"""What commands of the control socket are given to work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from mailworker.event.loop import Loop
from mailworker.event.task import Task
from mailworker.mail.limits.zones import LimitZones
from mailworker.shm.session_row import SessionRow, State
from mailworker.status.control import CommandContext, run_command
from mailworker.status.control_server import Asker
from tests.mail.limits.test_zones import Bench as Zones
from tests.status.sessions import session

ROOT = Asker(0, False)
READER = Asker(33, True)
KICKED_NOBODY = {"kicked": 0, "foreign": 0}
RELOAD = {"time": 1.0, "started": 1.0, "generation": 2, "error": None}


class Desk:
    """What the commands need, and what they have done with it."""

    made: ClassVar[list[Desk]] = []

    def __init__(self, sessions: Sequence[SessionRow] | None = None, limits: LimitZones | None = None) -> None:
        self.all = sessions
        self.asked: list[tuple[str, bytes]] = []
        self.times: list[float] = []
        self.notes: list[str] = []
        self.certificates = [{"days": 5}]
        self.logs = True
        self.former = True
        self.reload: dict[str, Any] = RELOAD
        self.bugs: list[BaseException] = []
        self.loop = Loop(self.bugs.append)
        self.made.append(self)
        self.control = partial(
            run_command,
            CommandContext(
                None if sessions is None else self.sessions,
                lambda: 3,
                self.ask,
                lambda: iter(self.certificates),
                lambda: {"stopping": False, "workers": []},
                self.probe,
                self.note,
                limits or Zones().zones,
            ),
        )

    def note(self, text: str) -> bool:
        self.notes.append(text)
        return self.logs

    def sessions(self) -> Iterator[SessionRow]:
        return iter(self.all or ())

    async def ask(self, command: str, argument: bytes, _seconds: float) -> dict[str, Any]:
        self.asked.append((command, argument))
        self.times.append(self.loop.now)
        if command.startswith("kick"):
            return {"told": argument.count(b"\n") if command == "kick" or self.former else 0}
        return {"level": "debug"} if command == "level" else self.reload

    async def probe(self, found: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield {"found": dict(found)}

    def obey(self, command: str, asker: Asker = ROOT, **keys: Any) -> list[Mapping[str, Any]]:
        """The lines of an answer. Raises what the command raises."""
        return [line for line in self.say(command, asker, **keys) if line]

    def say(self, command: str, asker: Asker = ROOT, **keys: Any) -> list[Mapping[str, Any]]:
        """As `obey`, with empty lines where what was said so far is sent."""
        lines: list[Mapping[str, Any]] = []
        errors: list[Exception] = []

        async def run() -> None:
            try:
                lines.extend([line async for line in self.control(command, keys, asker)])
            except Exception as error:
                errors.append(error)
            self.loop.stop()

        task = Task(self.loop, run())
        task.resume()
        if not errors and not (lines and "ok" in lines[-1]):
            self.loop.run()
        if errors:
            raise errors[0]
        assert "ok" in lines[-1]
        assert not self.bugs
        return lines

    @property
    def kicked(self) -> list[str]:
        return [place.split()[2].decode() for command, places in self.asked if command == "kick"
                for place in places.splitlines()[1:]]  # fmt: skip


PEOPLE = [session(1), session(2, "alice", "pop3"), session(3, "", state=State.LOGIN, backend=None), session(4)]
