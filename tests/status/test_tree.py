from __future__ import annotations

import json
import time

from mailworker import __version__
from mailworker.mail.counting import LATEST_END
from mailworker.mail.end import End
from mailworker.mail.limits.zones import ZoneUse
from mailworker.status.master_state import Process
from mailworker.status.snapshot import CertificateState, DirectoryState, Sessions, Snapshot, WorkerState
from mailworker.status.tree import tree
from tests.status.stage import IMAP, SMTP, Scene

FAMILIES: dict[str, dict[tuple[str, ...], int]] = {
    "reloads": {("success",): 1, ("failure",): 2},
    "accepted": {IMAP: 3},
    "logins": {IMAP: 4},
    "ended": {(*IMAP, "quit"): 5},
    "bytes": {(*IMAP, "client_in"): 6},
    "handshakes": {(*IMAP, "TLSv1.3", "yes"): 7},
    "handshake_failures": {(*IMAP, "alpn"): 8},
    "limit_rejected": {("zone",): 9},
    "limit_delayed": {("zone",): 10},
    "limit_dry_run": {("zone",): 11},
    "limit_banned": {("zone",): 12},
    "log_lines": {("log",): 13},
    "log_dropped": {("log",): 14},
}
SAME = ("dropped", "auth", "auth_seconds", "handshake_seconds", "login_seconds", "session_seconds", "loop_lag",
        "respawns", "tls_cache")  # fmt: skip


def test_the_tree_has_all_that_is_counted() -> None:
    scene = Scene()
    scene.work(0)
    scene.count(0, "accepted", *IMAP, amount=3)
    scene.count(0, "ended", *IMAP, "quit", amount=2)
    scene.count(0, "auth", "imap", "http", "plain", "ok")
    found = json.loads(scene.get("/status.json").content)
    server = found["servers"]["in"]["imap"]
    assert server["connections"] == {"login": 1, "relay": 0}
    assert (server["accepted"], server["sessions"]["quit"], server["sessions"]["shutdown"]) == (3, 2, 0)
    assert server["tls"]["handshakes"]["TLSv1.3"] == {"no": 0, "yes": 0}
    assert found["auth"]["imap"]["http"]["plain"]["ok"] == 1
    assert found["workers"][0]["serves"] is True
    assert found["ready"] is True


def test_each_value_has_its_name() -> None:
    snapshot = Snapshot(
        *(100.0, 101.0, 102.0, True, 103, True),
        workers=[WorkerState(Process(104, 0, 105, True, leaving=False, serves=True), 106.0, 107, 108, 109)],
        families={**FAMILIES, **{family: {("one", "two"): number} for number, family in enumerate(SAME)}},
        sessions={IMAP: Sessions(login=110, relay=111)},
        limit=112,
        certificates=[CertificateState("server", "subject", "serial", 113.0, 114.0)],
        limits=[ZoneUse("zone", "key", 115, 116, 117, 118)],
        directories=[DirectoryState("/certs", {"valid": 119}, 120.0, 121)],
    )
    assert tree(snapshot) == {
        **{"version": __version__, "now": 100.0, "started": 101.0, "generation": 103, "ready": False, "stopping": True},
        "reload": {"time": 102.0, "successful": False, "success": 1, "failure": 2},
        "workers": [
            {"worker": 105, "pid": 104, "serves": True, "leaving": False, "started": 107, "cpu": 106.0,
             "connections": 108, "memory": 109}
        ],
        "worker_connections": 112,
        "certificates": [
            {"server": "server", "subject": "subject", "serial": "serial", "begins": 113.0, "expires": 114.0}
        ],
        "certificate_directories": [
            {"directory": "/certs", "certificates": {"valid": 119}, "expires": 120.0, "faults": 121}
        ],
        "servers": {
            IMAP.server: {
                IMAP.protocol: {
                    "connections": {"login": 110, "relay": 111},
                    "accepted": 3,
                    "logins": 4,
                    "sessions": {"quit": 5},
                    "last_end_to_look_at": None,
                    "bytes": {"client_in": 6},
                    "tls": {"handshakes": {"TLSv1.3": {"yes": 7}}, "failures": {"alpn": 8}},
                }
            }
        },
        "limits": {
            "zone": {"zone": "zone", "key": "key", "entries": 115, "bans": 116, "room": 117, "dropped": 118,
                     "rejected": 9, "delayed": 10, "dry_run": 11, "banned": 12}
        },
        "logs": {"lines": {"log": 13}, "dropped": {"log": 14}},
        **{family: {"one": {"two": number}} for number, family in enumerate(SAME)},
    }  # fmt: skip


def test_the_last_end_that_somebody_has_to_look_at_is_told_with_its_time() -> None:
    scene, ends, before = Scene(), [*End], int(time.time()) - 100
    scene.count(0, LATEST_END, *IMAP, amount=before * len(ends) + ends.index(End.BACKEND_TIMEOUT))
    servers = json.loads(scene.get("/status.json").content)["servers"]
    assert servers["in"]["imap"]["last_end_to_look_at"] == {"time": before, "end": "upstream_timeout"}
    assert servers[SMTP.server]["smtp"]["last_end_to_look_at"] is None
