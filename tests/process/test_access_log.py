"""Lines of sessions from their ends to the files, by the real binary."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

from tests.process.logged import read
from tests.support.patience import PATIENCE
from tests.support.process import Mailworker, configuration

LOGS = """
    access_log logs/access.log;
    access_log logs/access.json json;
    access_log logs/named/$protocol-$session_end.log dovecot;
    access_log logs/null.log combined if=$starttls;
"""


def test_a_session_is_a_line_in_each_log_of_its_server(folder: Path, port: int) -> None:
    (folder / "logs" / "named").mkdir(parents=True)
    (folder / "logs" / "named").chmod(0o777)  # the log writer is nobody
    proxy = Mailworker(folder, configuration(port, mail=LOGS))
    proxy.start()
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            local = client.getsockname()[1]
            client.sendall(b"a LOGOUT\r\n")
            while client.recv(4096):
                pass
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()  # a health check, which is not logged
        named = folder / "logs" / "named" / "imap-quit.log"
        paths = folder / "logs" / "access.log", folder / "logs" / "access.json", named
        proxy.await_true(lambda: all(read(path) for path in paths), "a line in each log")
        ((line,), (as_json,), (as_dovecot,)) = map(read, paths)
    finally:
        proxy.stop()
    form = r'127\.0\.0\.1:%d \[[^]]+\] imap %d "-" - 200 quit - - \d\.\d{3} 10 \d+ -- [\w-]{16}'
    assert re.fullmatch(form % (local, port), line)
    found = json.loads(as_json)
    assert (found["session_end"], found["remote_port"], found["bytes_received"]) == ("quit", local, 10)
    assert line.endswith(found["session_id"])
    assert "dovecot: imap-login: Aborted login (no auth attempts in 0 secs): user=<>, rip=127.0.0.1" in as_dovecot
    assert [len(read(path)) for path in (*paths, folder / "logs" / "null.log")] == [1, 1, 1, 0]
