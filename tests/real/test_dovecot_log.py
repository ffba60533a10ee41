"""Tests wait for lines of Dovecot's log, so from its start on it keeps none of them back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.backend_tls import Tail
from tests.real.conftest import Dovecots
from tests.support.daemon import find_program, greets

# It reads its first lines when the last of the login services has written.
LATE = """\
#!/bin/sh
until pgrep -P $PPID managesieve-log; do sleep 0.02; done
exec LOG "$@"
"""


@pytest.fixture
def late_log(folder: Path) -> Path:
    program = folder / "late-log"
    program.write_text(LATE.replace("LOG", find_program("log", "/usr/lib/dovecot")))
    program.chmod(0o755)
    return program


def test_a_connection_is_logged_at_once_although_the_log_process_begins_late(
    dovecots: Dovecots, late_log: Path
) -> None:
    with dovecots.running("late-log", [], f"service log {{\n  executable = {late_log}\n}}\n") as server:
        for service, address in {"imap": server.imap, "pop3": server.pop3, "managesieve": server.sieve}.items():
            log = Tail(server.log)
            assert greets(address)
            log.wait_for(f"{service}-login: Info: .*no auth attempts")
