"""The session of one client, from accept to relay."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from mailworker.errors import Party, PeerError, ProtocolError, escape
from mailworker.event.copies import copied
from mailworker.event.plan import UNKNOWN, Link, Plan
from mailworker.event.stream import SocketStream
from mailworker.mail.arriving import SHAKING_HANDS
from mailworker.mail.asking import IN_AUTH
from mailworker.mail.dialogue.dialogue import StartTls
from mailworker.mail.dialogue.sasl import failure
from mailworker.mail.end import End, Farewell
from mailworker.mail.entering import Entering
from mailworker.model import Address, AuthMethod
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login

_GREETING = "sending client greeting line"
_PLAIN = AuthMethod.PLAIN  # Python 3.11 takes some 850 instructions to find one in its enum


class Session(Entering):
    """A chain of links, see `mailworker.event.plan`; it is dropped as a whole when the relay takes over.

    After the last link, the client has always left or been handed to a relay. The constructor makes a session without a
    client: the pattern of an entrance's sessions, which `of` copies.
    """

    __slots__ = ()

    def of(self, number: int, stream: SocketStream, peer: Address, accepted: float) -> Session:
        """A session of another client, copied from this pattern."""
        session = copied(self)
        session.log = record = self.log.begun(number, peer, accepted, stream)
        session.stream, session._peer = stream, peer
        if session.facts is not None:
            session.facts = record  # type: ignore[assignment] # of the pattern's class; cast() would be a call
        return session

    def begin(self) -> Link:
        """See `Chain.begin`."""
        entrance = self.log.entrance
        if entrance.log.informative:
            self.log.connected(self._peer)
        self.stream.deadline = self.connections.loop.now + self.server.settings.timeout
        listen = entrance.listen
        if listen.ssl or listen.proxy_protocol or entrance.at_accept or not entrance.greets_at_once:
            return self._arrive()
        return self._greet()

    async def _arrive(self) -> Link:
        farewell = await self.arrive()
        return self._greet() if farewell is None else self.part(farewell)

    def begin_heard(self, words: bytes) -> Link:
        """See `Chain.begin_heard`: the client has got its greeting, and this is its answer.

        Log it in at once if its bytes are a usual login, else begin a dialogue.
        """
        first_login = self._first_login
        if first_login is not None:
            login = first_login(self.stream.heard, words)
            if login is not None:
                return self._log_in(login)
        return self._heard(1, words)

    def begin_lost(self, error: PeerError) -> Link:
        """See `Chain.begin_lost`: the client has failed in its handshake, or after its greeting."""
        if self.log.action == SHAKING_HANDS:
            return self.fail_handshake(error)
        self.log.action = _GREETING
        return self._lost(error)

    def _greet(self) -> Link:
        self.log.action = _GREETING
        server, stream = self.server, self.stream
        said = server.capabilities
        greeting, opening = said.greeting, said.opening
        if stream.secure:
            greeting, opening = said.secure_greeting, said.secure_opening
        if greeting is None:
            greeting = self.dialogue.greeting()
        steps = ((greeting, opening if opening is not None and self._dialogue is None else UNKNOWN),)
        return Plan(stream, server.settings.dialogue.client_buffer, steps, self._greeted, self._lost)

    def _greeted(self, _usual: int, words: bytes) -> Link:
        return self.begin_heard(words) if self._dialogue is None else self._heard(1, words)

    def _say(self, answer: bytes | None) -> Link:
        """Send an answer, if there is one, and read the client's next command."""
        return Plan(self.stream, self.dialogue.room, ((answer, UNKNOWN),), self._heard, self._lost)

    def _heard(self, _usual: int, words: bytes) -> Link:
        self.log.action = IN_AUTH
        self.dialogue.hear(words)
        return self._move()

    def _lost(self, error: PeerError) -> Link:
        if self.stream.sent:  # at least the greeting
            self.log.action = IN_AUTH
        return self.fail(error)

    def _move(self) -> Link:
        dialogue = self.dialogue
        move = dialogue.move()
        if dialogue.missed and (refused := self.miss()) is not None:
            return refused
        if isinstance(move, Login):
            if self.log.entrance.log.informative:
                self.look_around()  # its level may have been another one when the session began
            return self._log_in(move)
        if isinstance(move, StartTls):
            return self._start_tls(move)
        return self._answer(move) if move is not None and (dialogue.has_input or dialogue.over) else self._say(move)

    async def _answer(self, answer: bytes) -> Link:
        """Send an answer without reading after it: the client has sent more already, or may send no more."""
        await self.stream.write(answer)
        return self._go_on()

    def _go_on(self) -> Link:
        over = self.dialogue.over
        return self._move() if over is None else self.part(Farewell(over, b""))

    async def _start_tls(self, move: StartTls) -> Link:
        await self.stream.write(move.go_ahead)
        self.dialogue.begin_tls()
        self.log.starttls = True
        self.log.action = "in starttls state"
        farewell = await self.shake_hands(more=self.dialogue.greets_again)
        if farewell is not None:
            return self.part(farewell)
        self.log.action = IN_AUTH
        return self._say(self.dialogue.greeting() if self.dialogue.greets_again else None)

    def judged(self, verdict: Accepted | Rejected) -> Link:
        """See `Applicant.judged`."""
        if self._quiet and verdict.only_renames and self.login.method is _PLAIN:  # as most often
            if verdict.login is not None:
                self.login.name = self.log.login = verdict.login
            return self.enter(verdict)
        if verdict.login is not None:
            self.rename(verdict.login)
        if not self._quiet:
            verdict = self._note(verdict)
        if not verdict.accepted:
            self.log.info(f'client login failed: "{escape(verdict.text)}"')
            return self._reject(verdict)
        if self._talkative:
            self.log.debug(f"sent to {verdict.address}")
        self.login.adopt(verdict)
        if self.limited_here and not verdict.passed_on and (refused := self._keep_out(verdict)) is not None:
            return refused
        if self.login.password is None and self.protocol.needs_password:
            return self._refused(ProtocolError(Party.AUTH_SERVICE, "did not send password"))
        return self.enter(verdict)

    def _keep_out(self, verdict: Accepted) -> Link:
        """Refuse a right login that a limit does not allow; None if it is let in."""
        if verdict.login is not None and (refused := self.banned_as()) is not None:
            return refused
        return None if self.let_in() else self.turn_away()

    def fail(self, error: Exception) -> Coroutine[Any, Any, None]:
        """See `Chain.fail`."""
        self.forget_attempt(error)
        counted = self.server.counted
        if counted is not None and self._asks and isinstance(error, PeerError) and error.party is Party.AUTH_SERVICE:
            counted.fail_to_judge(self.login.method, error, self.connections.loop.now - self._began)
        return super().fail(error)

    async def _reject(self, verdict: Rejected) -> Link:
        """Send the refusal. If it is final and was not delayed, the session ends, unless the protocol `retries`."""
        if (counted := self.server.counted) is not None:
            counted.refuse(self.login.method, verdict)
        if (rows := self.server.rows) is not None:
            rows.reject(self.stream.row, self.connections.loop.now)
        self.log.refuse(verdict)
        await self.fail_attempt(self.login, verdict)
        if verdict.wait:
            await self.dialogue.pause(verdict.wait)
        self.renew_deadline()
        self.log.action = IN_AUTH
        answer = await failure(self.dialogue, self.login, verdict)
        if verdict.final and not (verdict.wait or self.protocol.retries):
            return self.part(Farewell(End.AUTH_FAILED, answer))
        await self.stream.write(answer)
        self.dialogue.rejected(counted=self.protocol.retries or not verdict.final)
        return self._go_on()


if accelerator is not None:
    accelerator.note_sessions(Session)
