from __future__ import annotations

import json
import time

from mailworker.mail.counting import LATEST_END
from mailworker.mail.end import End
from tests.status.stage import IMAP, SMTP, Scene


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


def test_the_last_end_that_somebody_has_to_look_at_is_told_with_its_time() -> None:
    scene, ends, before = Scene(), [*End], int(time.time()) - 100
    scene.count(0, LATEST_END, *IMAP, amount=before * len(ends) + ends.index(End.BACKEND_TIMEOUT))
    servers = json.loads(scene.get("/status.json").content)["servers"]
    assert servers["in"]["imap"]["last_end_to_look_at"] == {"time": before, "end": "upstream_timeout"}
    assert servers[SMTP.server]["smtp"]["last_end_to_look_at"] is None
