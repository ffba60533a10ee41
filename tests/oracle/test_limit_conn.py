"""What -t says of limits of connections, beside nginx's stream module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.verdicts import our_verdict
from tests.support import stream_module

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(stream_module.MODULE is None, reason="no nginx with a stream module"),
]

ZONE = "limit_conn_zone $remote_addr zone=a:1m; "


@pytest.mark.parametrize(
    "directives",
    [
        *(ZONE + "limit_conn a 1;", "limit_conn a 1; " + ZONE, ZONE + "limit_conn a 1; limit_conn a 2;"),
        *(ZONE + "limit_conn a 0;", ZONE + "limit_conn a x;", ZONE + "limit_conn a 65536;", ZONE + "limit_conn a;"),
        *(ZONE + ZONE, "limit_conn_zone $remote_addr;", "limit_conn_zone $remote_addr zone=a;"),
        *("limit_conn_zone $remote_addr zone=a:1x;", "limit_conn_zone $remote_addr zone=a:1k;"),
        *("limit_conn_zone $remote_addr zone=:1m;", "limit_conn_zone $remote_addr area=a:1m;", "limit_conn b 1;"),
        *(ZONE + "limit_conn_log_level warn;", ZONE + "limit_conn_log_level crit;", ZONE + "limit_conn_dry_run on;"),
        *(ZONE + "limit_conn_dry_run maybe;", ZONE + "limit_conn_log_level info; limit_conn_log_level info;"),
    ],
)
def test_a_check_says_the_same(tmp_path: Path, directives: str) -> None:
    theirs = stream_module.verdict(tmp_path, f"events {{}}\nstream {{ {directives} server {{ listen 1; return x; }} }}")
    path = tmp_path / "nginx.conf"
    path.write_text(f"events {{}}\nmail {{ auth_http 127.0.0.1; {directives} server {{ listen 143; }} }}")
    assert our_verdict(path) == [line for line in theirs if line.startswith(("[emerg]", "[warn]"))]
