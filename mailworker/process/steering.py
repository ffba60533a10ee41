"""The commands of the control socket that the master executes; the status process forwards them.

The status process has no privileges, as an attacker may compromise it: it can request these commands alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from mailworker.model import After, Level
from mailworker.process.children import Asked, Children
from mailworker.process.cycle import Cycle
from mailworker.process.handover.upgrade import Upgrade
from mailworker.process.kicking import Chosen, Kicking
from mailworker.process.link import MOST_QUESTIONS, answer
from mailworker.process.retry import Retry
from mailworker.status.master_state import MasterState

# The row of the worker, the row of the session there, and the session's id.
_SESSION: Final = re.compile(rb"([0-9]{1,9}) ([0-9]{1,9}) ([A-Za-z0-9_-]{1,64})")

Words = Mapping[str, Any]
"""An answer, which is sent as JSON."""


class Steered(Protocol):
    """A master, as Steering needs it."""

    @property
    def cycle(self) -> Cycle:
        """The cycle that serves."""

    @property
    def reloads(self) -> bool:
        """Whether a reload is under way."""

    def reconfigure(self) -> str | None:
        """Begin a reload, or queue one; returns why that is impossible, else None."""


class Steering:
    """Receives questions, and answers each once: immediately, or when the command is done.

    `after(seconds, action)` arranges for a call later.
    """

    __slots__ = (
        "_after", "_children", "_commands", "_kicking", "_master", "_next", "_state", "_telling", "_upgrade",
        "_waiting",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - what the commands work on
        self,
        master: Steered,
        children: Children,
        kicking: Kicking,
        upgrade: Upgrade,
        state: MasterState,
        after: After,
    ) -> None:
        self._after = after
        self._kicking = kicking
        self._master = master
        self._state = state
        self._upgrade = upgrade
        self._children = children
        self._telling = Retry(after, self._tell_level)
        self._waiting: list[Asked] = []  # for the end of the reload that is under way
        self._next: list[Asked] = []  # for the end of the next reload
        self._commands: dict[bytes, Callable[[Asked], Words | None]] = {
            b"kick": lambda asked: self._kick(asked.question.argument),
            b"kick-former": self._kick_former,
            b"level": self._limit_logs,
            b"reload": self._reload,
            b"reload-status": lambda _: self._state.last_reload,
        }

    def receive(self) -> None:
        """Receive questions and execute their commands, and end the sessions that a new master wants to end."""
        asked = self._children.take_questions()
        for each in asked:
            command = self._commands.get(each.question.command)
            found = {"error": "unknown command of the master"} if command is None else command(each)
            if found is not None:
                _answer(each, found)
        kicks = self._upgrade.take_kicks()
        for sessions in kicks:
            self._kick(sessions)
        if max(len(asked), len(kicks)) >= MOST_QUESTIONS:  # there may be more, and no other signal will announce them
            self._after(0.0, self.receive)

    def reloaded(self) -> None:
        """Answer those that wait for the reload that has ended."""
        waiting, self._waiting, self._next = self._waiting, self._next, []
        for each in waiting:
            _answer(each, self._state.last_reload)

    def abandoned(self) -> None:
        """Answer all that wait, as the reload was abandoned."""
        waiting, self._waiting, self._next = [*self._waiting, *self._next], [], []
        for each in waiting:
            _answer(each, {"error": "the reload was abandoned"})

    def _reload(self, asked: Asked) -> Words | None:
        waiting = self._next if self._master.reloads else self._waiting
        waiting.append(asked)
        refused = self._master.reconfigure()
        if refused is None:
            return None
        waiting.remove(asked)
        return {"error": refused}

    def _kick(self, sessions: bytes) -> Words:
        """End sessions; the status process limits the rate of its requests.

        The first line is the reason for the log, and each further line is a session.
        """
        read = _read(sessions)
        if read is None:
            return {"error": "invalid list of sessions"}
        why, chosen = read
        if not self._kicking.kick(chosen, why):
            return {"error": "too many sessions are already about to be ended"}
        return {"told": len(chosen)}

    def _kick_former(self, asked: Asked) -> Words:
        """Have the old master end sessions of its workers."""
        read = _read(asked.question.argument)
        if read is None:
            return {"error": "invalid list of sessions"}
        return {"told": len(read[1]) if self._upgrade.kick_former(asked.question.argument) else 0}

    def _limit_logs(self, asked: Asked) -> Words:
        """Set the log level. An empty argument only asks for it, 0 goes back to the configuration."""
        logs, word = self._master.cycle.logs, asked.question.argument
        if word:
            try:
                level = Level(int(word)) if int(word) else None
            except ValueError:
                return {"error": "unknown log level"}
            logs.limit(level)
            self._telling.now()
        return {"level": logs.level.name.lower()}

    def _tell_level(self) -> bool:
        """Send the children the present level; returns False if one has no room for it."""
        return self._children.limit_logs(self._master.cycle.logs.limited)


def _read(sessions: bytes) -> tuple[str, list[Chosen]] | None:
    """The reason and the sessions to end; None if the list is invalid."""
    why, *lines = sessions.split(b"\n")
    matches = [*map(_SESSION.fullmatch, lines)]
    text = why.decode(errors="replace")
    if not text.isprintable() or not all(matches):
        return None
    return text, [Chosen(int(match[1]), int(match[2]), match[3].decode()) for match in matches if match]


def _answer(asked: Asked, words: Words) -> None:
    answer(asked.child.link, asked.question.number, json.dumps(words).encode())
