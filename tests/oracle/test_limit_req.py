"""`limit_auth` beside nginx's own limit_req: the same attempts pass, and -t says the same."""

from __future__ import annotations

import re
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from mailworker.config.load import load
from mailworker.errors import ConfigError
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.shm.limit_table import LimitTable
from tests.shm.limits import SECRET, shared
from tests.support.nginx import Nginx, nginx_command
from tests.support.ports import Ports

pytestmark = pytest.mark.oracle

CONFIGURATION = """
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    limit_req_zone $binary_remote_addr zone=all:1m rate=60r/m;
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        location / {{ limit_req zone=all burst={burst} nodelay; }}
    }}
}}
"""

# Seconds at which attempts come; none stands where some milliseconds would decide.
MOMENTS = (0.0, 0.0, 0.0, 0.0, 0.5, 1.3, 1.3, 1.3, 2.6, 2.6, 2.6)


@pytest.mark.parametrize("burst", [1, 2])
def test_the_same_attempts_pass_as_in_nginx(tmp_path: Path, burst: int) -> None:
    ports = Ports()
    port = ports["http"]
    nginx = Nginx(tmp_path, CONFIGURATION.format(folder=tmp_path, port=port, burst=burst), [("127.0.0.1", port)])
    try:
        found, moments, began = [], [], time.monotonic()
        for moment in MOMENTS:
            time.sleep(max(began + moment - time.monotonic(), 0.0))
            connection = HTTPConnection("127.0.0.1", port)
            moments.append(time.monotonic() - began)  # on a busy machine later than meant
            connection.request("GET", "/page")
            found.append(connection.getresponse().status != 503)
            connection.close()
    finally:
        nginx.stop()
        ports.close()
    table = LimitTable(shared(), SECRET, (1000, 1000))
    assert [table.take(b"key", 10.0 + moment, burst * 1000) >= 0 for moment in moments] == found
    assert set(found) == {True, False}


ZONE = "limit_req_zone $remote_addr zone=a:1m rate=6r/m; "
DECLARED = "limit_req_zone $remote_addr zone=a:1m "


@pytest.mark.parametrize(
    "directives",
    [
        *(ZONE + "limit_req zone=a;", "limit_req zone=a; " + ZONE, ZONE + "limit_req zone=a burst=5 nodelay;"),
        *(ZONE + "limit_req zone=a; limit_req zone=a;", ZONE + "limit_req burst=5;", "limit_req zone=b;", "limit_req;"),
        *(ZONE + "limit_req zone=a burst=0;", ZONE + "limit_req zone=a burst=-1;", ZONE + "limit_req zone=a delay=x;"),
        *(ZONE + "limit_req zone=a delay=0;", ZONE + "limit_req zone=a now;", ZONE + ZONE, DECLARED + "rate=0r/s;"),
        *(DECLARED + "rate=1r/d;", DECLARED + "rate=r/s;", DECLARED + "rate=-1r/s;", DECLARED + "speed=1r/s;"),
        *("limit_req_zone $remote_addr rate=1r/s zone=a;", "limit_req_zone $remote_addr zone=a:1x rate=1r/s;"),
        *("limit_req_zone $remote_addr zone=a:1k rate=1r/s;", "limit_req_zone $remote_addr rate=1r/s rate=2r/s;"),
        *("limit_req_zone $remote_addr zone=:1m rate=1r/s;", "limit_req_zone $remote_addr;"),
        *("limit_req_log_level notice;", "limit_req_log_level crit;", "limit_req_dry_run maybe;"),
        "limit_req_dry_run on; limit_req_dry_run on;",
    ],
)
def test_a_check_says_the_same(tmp_path: Path, directives: str) -> None:
    """But for a zone without a rate, which nginx refuses: one that `auth_delay` alone uses needs none."""
    command = nginx_command(tmp_path, f"events {{}}\nhttp {{ {directives} server {{ listen 1; }} }}")
    said = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False).stderr
    theirs = [line.partition("[emerg] ")[2] for line in said.splitlines() if "[emerg]" in line]
    path = tmp_path / "mailworker.conf"
    ours = directives.replace("limit_req", "limit_auth")
    path.write_text(f"events {{}}\nmail {{ auth_http 127.0.0.1; {ours} server {{ listen 143; }} }}")
    found: list[str] = []
    try:
        load(path, protocols=PROTOCOLS, prefix=tmp_path)
    except ConfigError as error:
        found.append(str(error).replace("limit_auth", "limit_req"))
    places = re.compile(r" in \S+:\d+$|^\d+#\d+: ")
    assert [places.sub("", line) for line in found] == [places.sub("", line) for line in theirs]
