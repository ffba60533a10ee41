"""The arithmetic of `limit_auth` beside nginx's own limit_req, in real time: the same attempts pass."""

from __future__ import annotations

import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from mailworker.shm.limit_table import LimitTable
from tests.shm.limits import SECRET, shared
from tests.support.nginx import Nginx
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
        found, began = [], time.monotonic()
        for moment in MOMENTS:
            time.sleep(max(began + moment - time.monotonic(), 0.0))
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/page")
            found.append(connection.getresponse().status != 503)
            connection.close()
    finally:
        nginx.stop()
        ports.close()
    table = LimitTable(shared(), SECRET, (1000, 1000))
    assert [table.take(b"key", 10.0 + moment, burst * 1000) >= 0 for moment in MOMENTS] == found
    assert set(found) == {True, False}
