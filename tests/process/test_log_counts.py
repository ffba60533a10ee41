"""What the status process shows of logs, of the real binary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.shown import Shown
from tests.support.ports import Ports
from tests.support.process import GREETING, configuration, greeting

FULL = Path("/dev/full")


@pytest.fixture
def shown(folder: Path, port: int, ports: Ports) -> Iterator[Shown]:
    status = ports["status"]
    main = f"worker_processes 2; worker_sandbox on; status {{ listen 127.0.0.1:{status}; }}"
    logs = ("logs/one.log", FULL, "open/$protocol.log", "shut/inner/$protocol.log")
    mail = f"log_null_sessions on; {' '.join(f'access_log {log};' for log in logs)}"
    server = f"error_log logs/error.log info; error_log {FULL} info;"
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)  # for the log writer, whoever it is
    (folder / "shut" / "inner").mkdir(parents=True)
    (folder / "shut").chmod(0o700)
    shown = Shown(folder, configuration(port, main=main, mail=mail, server=server))
    shown.status = status
    shown.alerts += ['"/dev/full" failed', f'"{folder}/shut/inner/imap.log" failed \\(13: ']
    shown.start()
    shown.await_workers(2)
    shown.await_status_process()
    yield shown
    shown.stop()


def test_lines_of_each_log_are_counted_and_those_that_were_lost(shown: Shown, folder: Path, port: int) -> None:
    for _ in range(3):
        assert greeting(port) == GREETING
    one, pattern = str(folder / "logs/one.log"), f"{folder}/open/$protocol.log"
    shown.await_true(lambda: shown.total("log_lines_total", log=pattern) == 3, "three lines")
    shown.await_true(lambda: shown.total("log_dropped_total", log=str(FULL)) == 3, "three lost lines")
    assert shown.total("log_lines_total", log=one) == 3
    shut = f"{folder}/shut/inner/$protocol.log"
    shown.await_true(lambda: shown.total("log_dropped_total", log=shut) == 3, "three lines that find no folder")
    of_error_log = shown.total("log_dropped_total", log="error log")
    assert of_error_log >= 3
    assert shown.total("log_dropped_total") == of_error_log + 6
    assert shown.total("log_dropped_total", log="log writer") == 0
    assert shown.tree()["logs"]["dropped"][str(FULL)] == 3
    assert b"/dev/full" in shown.get("/")[1]
