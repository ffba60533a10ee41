"""`limit_conn_zone`, `limit_conn` and their companions."""

from __future__ import annotations

import re

import pytest

from mailworker.errors import ConfigError
from mailworker.model import Level
from tests.config.conftest import Load

ZONES = "limit_conn_zone $remote_user zone=user:1m; limit_conn_zone '$remote_addr $protocol' zone=both:32k;"


def loaded(load_text: Load, mail: str, *servers: str) -> list[object]:
    blocks = "".join(
        f"server {{ listen {1000 + number}; protocol imap; {text} }}" for number, text in enumerate(servers)
    )
    settings = load_text(f"events {{}} mail {{ auth_http 127.0.0.1; {mail} {blocks} }}")
    return [
        ([(limit.zone.name, limit.most) for limit in each.limits], each.log_level, each.dry_run)
        for each in (server.limit_conn for server in settings.servers)
    ]


def test_nothing_is_limited_by_default(load_text: Load) -> None:
    assert loaded(load_text, "", "") == [([], Level.ERROR, False)]


def test_a_server_with_a_limit_of_its_own_inherits_none(load_text: Load) -> None:
    mail = f"{ZONES} limit_conn user 5; limit_conn both 65535; limit_conn_log_level info;"
    assert loaded(load_text, mail, "", "limit_conn both 1; limit_conn_dry_run on;") == [
        ([("user", 5), ("both", 65535)], Level.INFO, False),
        ([("both", 1)], Level.INFO, True),
    ]


def test_a_zone_may_be_declared_behind_its_limit(load_text: Load) -> None:
    assert loaded(load_text, "limit_conn user 5;" + ZONES, "") == [([("user", 5)], Level.ERROR, False)]


def test_a_limit_knows_what_its_key_is_made_of(load_text: Load) -> None:
    text = f"""
        events {{}} mail {{
            auth_http 127.0.0.1; {ZONES} map $remote_user $kind {{ default a; }}
            limit_conn_zone $kind$auth_http_x zone=kind:1m; limit_conn user 1; limit_conn both 1; limit_conn kind 1;
            server {{ listen 143; }}
        }}
    """
    (server,) = load_text(text).servers
    assert [sorted(limit.used) for limit in server.limit_conn.limits] == [
        ["remote_user"],
        ["protocol", "remote_addr"],
        ["auth_http_x", "remote_user"],
    ]
    assert [limit.zone.light for limit in server.limit_conn.limits] == ["remote_user", None, None]
    assert server.limit_conn.has_variables
    assert [(zone.name, zone.size, zone.words) for zone in load_text(text).zones] == [
        ("user", 1 << 20, ("$remote_user",)),
        ("both", 32768, ("$remote_addr $protocol",)),
        ("kind", 1 << 20, ("$kind$auth_http_x",)),
    ]


@pytest.mark.parametrize(
    ("directives", "message"),
    [
        ("limit_conn user 1; limit_conn user 2;", '"limit_conn" directive is duplicate'),
        ("limit_conn user 0;", 'invalid number of connections "0"'),
        ("limit_conn user many;", 'invalid number of connections "many"'),
        ("limit_conn user 65536;", "connection limit must be less 65536"),
        ("".join(f"limit_conn zone{number} 1;" for number in range(65)), 'too many "limit_conn" directives'),
        ("limit_conn other 1;", 'zero size shared memory zone "other"'),
        ("limit_conn_log_level alert;", 'invalid value "alert"'),
        ("limit_conn_zone $remote_user zone=user:1m;", 'limit_conn_zone "user" is already bound to key "$remote_user"'),
        (
            "limit_conn_zone $remote_user zone=user:2m;",
            'the size 2097152 of shared memory zone "user" conflicts with already declared size 1048576',
        ),
        ("limit_conn_zone $remote_user rate=1r/s;", 'invalid parameter "rate=1r/s"'),
        ("limit_conn_zone $nothing zone=x:1m; limit_conn x 1;", 'unknown "nothing" variable'),
        ("limit_conn_zone $nothing zone=x:1m;", 'unknown "nothing" variable'),
    ],
)
def test_what_cannot_be_is_refused(load_text: Load, directives: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        loaded(load_text, ZONES + directives, "")
