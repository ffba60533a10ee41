"""What honest clients notice of a dictionary attack, and how much of the attack reaches the auth service."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.arena import Arena, Duel, Running, Setup
from bench.measure import Goal, Measure
from bench.programs import TIMEOUT, build

# Ten minutes of two connections a second from each of 1,000 addresses, with rate=6r/m burst=5 ban=15m. All times are
# divided by SCALE, and so is the number of addresses, so the server sees as many connections a second.
SCALE = 20
ADDRESSES = 1000 // SCALE
PACE = 2 * 1000  # connections a second
ATTACKED = 600 / SCALE  # seconds
LIMITS = (
    f"limit_auth_zone $binary_remote_prefix zone=fail:8m rate={6 * SCALE}r/m; "
    f"limit_auth zone=fail burst=5 nodelay ban={900 // SCALE}s;"
)

ROUNDS = 3
QUIET = 5.0  # seconds of a round
HONEST_PACE = 100
HONEST_ADDRESSES = 50
MOST_GUESSES = 0.01  # of all connections


@dataclass(frozen=True, slots=True)
class Paced:
    """The results of the clients of paced.c; times are milliseconds."""

    came: int
    let_in: int
    wrong: int
    later: int
    closed: int
    median: float
    p99: float

    @classmethod
    def read(cls, line: str) -> Paced:
        came, let_in, wrong, later, closed, median, p99 = line.split()
        return cls(int(came), int(let_in), int(wrong), int(later), int(closed), float(median), float(p99))


@dataclass(frozen=True, slots=True)
class Pace:
    """Clients at a pace: `word` and `net` as in paced.c, `rate` a second, for `seconds`, from so many addresses."""

    word: str
    rate: float
    seconds: float
    addresses: int
    net: int

    @classmethod
    def attack(cls, seconds: float) -> Pace:
        return cls("word-", PACE, seconds, ADDRESSES, 1)

    @classmethod
    def honest(cls, seconds: float) -> Pace:
        return cls("secret", HONEST_PACE, seconds, HONEST_ADDRESSES, 2)


class Crowd:
    """Clients that come at a pace, from the moment this is made."""

    def __init__(self, program: Path, port: int, pace: Pace) -> None:
        numbers = (pace.rate, pace.seconds, pace.addresses, pace.net)
        command = [str(program), str(port), pace.word, *map(str, numbers)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def outcome(self) -> Paced:
        """The result, once all have left."""
        output, _ = self._process.communicate(timeout=TIMEOUT)
        return Paced.read(output)


class Siege:
    """A server with its honest clients and its attackers."""

    def __init__(self, server: Running, program: Path) -> None:
        self._program = program
        self._port = server.port("imap", tls=False)
        self.guesses = self.attempts = 0

    def honest(self, seconds: float, *, attacked: bool) -> float:
        """Milliseconds in which 99 of 100 honest clients have logged in."""
        attack = Crowd(self._program, self._port, Pace.attack(seconds)) if attacked else None
        honest = Crowd(self._program, self._port, Pace.honest(seconds)).outcome()
        if honest.let_in != honest.came:
            raise RuntimeError(f"honest clients are kept out: {honest}")
        if attack is not None:
            made = attack.outcome()
            self.attempts += made.came
            self.guesses += made.wrong
        return honest.p99


def honest_p99(arena: Arena) -> Duel:
    """The quiet server and the same one under attack. Raises RuntimeError where too many guesses pass."""
    program = build("paced", arena.new_folder("paced"))
    with arena.running("mailworker", Setup(connections=8192, extra=LIMITS)) as server:
        siege = Siege(server, program)
        siege.honest(QUIET / 2, attacked=False)
        rounds = [
            (siege.honest(QUIET, attacked=False), siege.honest(ATTACKED / ROUNDS, attacked=True)) for _ in range(ROUNDS)
        ]
    share = siege.guesses / siege.attempts
    print(f"{siege.guesses} guesses of {siege.attempts} connections reached the auth service: {share:.2%}")
    if share > MOST_GUESSES:
        raise RuntimeError(f"{share:.2%} of the connections reached the auth service")
    return Duel.of(rounds)


def measures() -> Iterator[Measure]:
    yield Measure(
        "honest-p99",
        f"99th percentile of honest IMAP logins beside a dictionary attack of {PACE} connections a second",
        "ms",
        Goal(1.5),
        honest_p99,
        rival="quiet",
    )
