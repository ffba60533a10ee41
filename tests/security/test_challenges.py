"""Rows 13 and 14: no challenge is given twice, and exchanges that are given up leave nothing behind."""

from __future__ import annotations

import os
import re
import signal
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.security.speech import SPEECHES
from tests.security.stage import Stage
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import Mailworker

CHALLENGES = 20_000
# Exchanges that are given up; MAILWORKER_ABORTS=100000 is the long form.
ABORTS = int(os.environ.get("MAILWORKER_ABORTS", "3000"))
GROWN = 2 << 20  # bytes

WORKERS = 4
_AT_ONCE = 500
_SALT = re.compile(rb"<([0-9]+)\.[0-9]+@mail\.example>")


class Asked:
    """Four workers that give challenges, and all that they gave."""

    def __init__(self, folder: Path) -> None:
        self._ports = Ports()
        self.imap, self.pop3 = self._ports["imap"], self._ports["pop3"]
        self.mailworker = Mailworker(folder, self._configuration())
        self.salts: list[bytes] = []
        self.mailworker.start()
        self._workers = self.mailworker.await_workers(WORKERS)

    def ask(self, count: int) -> None:
        """Ask for `count` challenges of CRAM-MD5, and a tenth as many of APOP."""
        for _ in range(count // _AT_ONCE):
            with closing(Peer.connect(("127.0.0.1", self.imap))) as client:
                client.line()
                client.send(b"a AUTHENTICATE CRAM-MD5\r\n*\r\n" * _AT_ONCE)
                for _ in range(_AT_ONCE):
                    self.salts.append(b64decode(client.line().removeprefix(b"+ ")))
                    client.expect(b"a BAD invalid command\r\n")
        for _ in range(count // 10):
            with closing(Peer.connect(("127.0.0.1", self.pop3))) as client:
                self.salts.append(client.line().removeprefix(b"+OK POP3 ready ").rstrip())

    def stop(self) -> None:
        self.mailworker.stop()
        self._ports.close()

    def reload(self) -> None:
        self.mailworker.signal(signal.SIGHUP)
        self._workers = self.mailworker.await_workers(WORKERS, without=self._workers)

    def _configuration(self) -> str:
        return f"""
            worker_processes {WORKERS};
            error_log logs/error.log info;
            events {{ }}
            mail {{
                server_name mail.example;
                auth_http 127.0.0.1:9/;
                max_commands 10000;
                server {{ listen 127.0.0.1:{self.imap}; protocol imap; imap_auth cram-md5; }}
                server {{ listen 127.0.0.1:{self.pop3}; protocol pop3; pop3_auth apop; }}
            }}
        """


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    asked = Asked(tmp_path)
    yield asked
    asked.stop()


def test_no_challenge_is_given_twice_by_any_worker_or_after_a_reload(asked: Asked) -> None:
    for last in (False, False, True):
        asked.ask(CHALLENGES // 3)
        if not last:
            asked.reload()
    salts = [_SALT.fullmatch(salt) for salt in asked.salts]
    numbers = [int(salt[1]) for salt in salts if salt]
    assert len(numbers) == len(asked.salts) > CHALLENGES
    assert len(set(numbers)) == len(numbers)
    # 64 random bits: each is set in about half of all.
    for bit in range(64):
        assert 0.45 < sum(number >> bit & 1 for number in numbers) / len(numbers) < 0.55
    assert max(numbers) < 1 << 64


STATES = (b"PLAIN", b"LOGIN", b"LOGIN dQ==", b"CRAM-MD5", b"EXTERNAL", b"OAUTHBEARER")


@pytest.mark.timeout(60 + ABORTS // 100)
def test_exchanges_that_are_given_up_keep_no_memory(stage: Stage) -> None:
    _give_up(stage, ABORTS // 3)
    before = stage.memory()
    _give_up(stage, ABORTS)
    assert stage.memory() < before + GROWN


def _give_up(stage: Stage, count: int) -> None:
    """Four times with "*" by each client, which leaves in the middle of the fifth exchange."""
    for number in range(count // 5):
        speech = SPEECHES[number % 3]
        state = b"%b %b\r\n" % (speech.auth, STATES[number // 3 % len(STATES)])
        with closing(Peer.connect(stage.address(speech, "every"))) as client:
            client.line()
            client.send((state + b"*\r\n") * 4)
            for _ in range(4):
                client.line()
                client.expect(speech.invalid)
            client.send(state)
            client.line()
