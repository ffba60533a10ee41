from __future__ import annotations

import html
import random
import re
import time
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from mailworker.mail.counting import LATEST_END
from mailworker.mail.end import End
from mailworker.mail.vitals import CONNECTIONS
from mailworker.status.page import Page, _ago, _escape, _size, render
from mailworker.status.snapshot import CertificateState, DirectoryState
from mailworker.tls.folder import STATES
from tests.status.stage import IMAP, SMTP, Scene

VOID = {"meta", "br"}


class Outline(HTMLParser):
    """What is on a page; raises AssertionError where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.cells: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action", "style", "onclick"}]
        if tag == "tr":
            self.cells.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.texts.append(data)
            if {"td", "th"} & set(self.open):
                self.cells[-1].append(data)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.work(0)
    scene.count(0, "accepted", *IMAP, amount=1234)
    scene.count(0, "ended", *IMAP, "client_closed", amount=920)
    scene.count(0, "ended", *IMAP, "auth_error", amount=3)
    scene.count(0, "ended", *IMAP, "upstream_connect", amount=30)
    for end in ("kicked", "shutdown"):  # by an administrator
        scene.count(0, "ended", *IMAP, end, amount=40)
    scene.count(0, "bytes", *IMAP, "client_in", amount=5 << 20)
    scene.count(0, "auth", "imap", "http", "plain", "failed", amount=7)
    for version, resumed, amount in (("TLSv1.3", "no", 2), ("TLSv1.3", "yes", 3), ("TLSv1.2", "no", 4)):
        scene.count(0, "handshakes", *IMAP, version, resumed, amount=amount)
    scene.count(0, "handshake_failures", *IMAP, "alpn", amount=5)
    scene.count(0, "logins", *IMAP, amount=100)
    for bucket, amount in (("0.01", 40), ("0.5", 50), ("5.0", 8), ("+Inf", 2), ("sum", 61_500_000)):
        scene.count(0, "auth_seconds", "http", bucket, amount=amount)
    return scene


def test_a_snapshot_is_whole_without_scripts(scene: Scene) -> None:
    outline = Outline(Page().render(scene.take()))
    assert " is ready" in " ".join(outline.texts).replace("  ", " ")
    rows = {(row[0], row[1]): row for row in outline.cells if len(row) > 1}
    assert rows["in", "imap"] == [
        *("in", "imap", "101", "100", "1,234", "100", "9", "5", "5.0 MB", "0 B"),
        *("30 upstream_connect, 3 auth_error", "-"),
    ]
    assert rows[SMTP.server, "smtp"][-2:] == ["none", "-"]
    assert rows["http", "imap"] == ["http", "imap", "0", "7", "0", "0", "0"]
    assert rows["decision", "http"] == ["decision", "http", "100", "< 500 ms", "< 5 s", "> 60 s"]
    assert rows["handshake", "imap in full"][2:] == rows["handshake", "imap resumed"][2:] == ["0", "-", "-", "-"]
    assert rows["wait for a worker", "-"][2:] == ["0", "-", "-", "-"]
    assert rows["0", str(scene.processes[0].pid)][2] == "serving"


def test_the_tiles_are_sums_which_the_script_finds_by_their_names(scene: Scene) -> None:
    found = re.findall(r'data-kind="(\w+)" data-number="(\w+)" data-value="(\d+)"', render(scene.take()))
    assert found == [
        *(
            ("rate", "accepted", "1234"),
            ("rate", "logins", "100"),
            ("rate", "refused", "7"),
            ("level", "sessions", "201"),
        )
    ]


def test_caches_and_logs_are_told_with_what_was_missed_and_lost(scene: Scene) -> None:
    snapshot = scene.take()
    families: dict[str, dict[tuple[str, ...], int]] = {
        "tls_cache": {("SSL", "hit"): 1000, ("SSL", "miss"): 2},
        "log_lines": {("/access.log",): 3000},
        "log_dropped": {("error log",): 0, ("/access.log",): 4},
    }
    text = render(replace(snapshot, families={**snapshot.families, **families}))
    rows = Outline(text).cells
    assert ["SSL", "1,000", "2"] in rows
    assert ["error log", "-", "0"] in rows
    assert ["/access.log", "3,000", "4"] in rows
    assert '<span class="good">0</span></td></tr>' in text
    assert '<span class="bad">4</span></td></tr>' in text


@pytest.mark.parametrize(("connections", "kind"), [(460, "good"), (461, "warn")])
def test_a_worker_that_is_nearly_full_is_marked(scene: Scene, connections: int, kind: str) -> None:
    scene.count(0, CONNECTIONS, amount=connections)
    assert f'<span class="{kind}">{connections} of 512</span>' in render(scene.take())


def test_only_the_table_of_servers_needs_a_wide_window(scene: Scene) -> None:
    titles = re.findall(r'<h2>([^<]*)</h2>\n<table class="wide">', render(scene.take()))
    assert titles == ["Servers"]


def test_the_last_end_that_somebody_has_to_look_at_is_told_with_its_time(scene: Scene) -> None:
    ends = [*End]
    for ago, end in ((300, End.AUTH_ERROR), (100, End.BACKEND_TIMEOUT)):
        scene.count(ago, LATEST_END, *IMAP, amount=int(time.time() - ago) * len(ends) + ends.index(end))
    text = " ".join(Outline(render(scene.take())).texts)
    assert re.search(r"upstream_timeout 10\d s ago", text)


def test_nothing_is_loaded_from_anywhere_and_only_our_own_script_runs(scene: Scene) -> None:
    page = Page()
    text = page.render(scene.take())
    assert Outline(text).links == []
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}  # a name, not a place
    for tag, kind in (("style", "style"), ("script", "script")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in page.policy
    assert "style=" not in text


def test_text_is_escaped_as_python_escapes_it() -> None:
    text = "".join(map(chr, range(0x300)))
    assert _escape(text) == html.escape(text)


def test_no_name_is_more_than_text() -> None:
    scene = Scene()
    snapshot = scene.take()
    evil = '</td><script>alert(1)</script>"&'
    certificates = [CertificateState(evil, evil, evil, 0, snapshot.now)]
    directories = [DirectoryState(evil, dict.fromkeys(STATES, 1), None, 1)]
    text = render(replace(snapshot, certificates=certificates, directories=directories))
    assert "<script>" not in text
    assert evil in Outline(text).texts


@pytest.mark.parametrize(("days", "kind"), [(-1, "bad"), (6.5, "bad"), (7.5, "warn"), (20.5, "warn"), (21.5, "good")])
def test_a_certificate_that_ends_soon_is_marked(days: float, kind: str) -> None:
    scene = Scene()
    scene.certificates = [CertificateState("in", "mail.example", "01", 0, scene.take().now + days * 86400)]
    assert f'<span class="{kind}">' in render(scene.take()).rpartition("Certificates")[2]


def test_what_is_wrong_below_a_directory_is_marked() -> None:
    scene = Scene()
    for counts, faults, kinds in (((9, 0, 0, 1), 0, ["good"] * 3), ((9, 1, 1, 1), 1, ["warn", "bad", "bad"])):
        found = dict(zip(STATES, counts, strict=True))
        scene.directories = [DirectoryState("/certs", found, scene.take().now + 1.5 * 86400, faults)]
        text = render(scene.take()).rpartition("Certificates by name")[2]
        assert re.findall(r'<span class="(\w+)">', text) == kinds
        assert "<span>1</span></td></tr>" in text


def test_the_state_is_told_in_words() -> None:
    scene = Scene()
    scene.post()
    assert "not ready: no worker accepts" in render(scene.take())
    scene.work(0)
    assert re.search(r"; configuration \d+ m?s ago succeeded; generation 1<", render(scene.take()))
    scene.state.reload(scene.counters, None)
    scene.post()
    assert re.search(r"; last reload \d+ m?s ago succeeded; generation 2<", render(scene.take()))
    scene.post(stopping=True)
    assert "stopping" in render(scene.take())
    scene.state.reload(scene.counters, "it failed")
    scene.post()
    assert "failed, see the error log" in render(scene.take())


def test_whatever_workers_have_written_it_is_a_page() -> None:
    scene = Scene()
    memory = memoryview(scene.counters._memory)
    memory[:] = random.Random(2).randbytes(len(memory))
    Outline(Page().render(scene.take()))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.001, "1 ms"), (0.5, "500 ms"), (1, "1 s"), (119, "119 s"), (120, "2 minutes"), (7199, "119 minutes")),
        *((7200, "2 hours"), (172800, "2 days"), (1e9, "11,574 days")),
        (-3600, "0 ms"),  # the clock was set back
    ],
)
def test_a_length_of_time_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert _ago(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KB"), (5 << 20, "5.0 MB"), (1 << 61, "2048.0 PB")]
)
def test_a_size_is_told_in_its_largest_unit(count: int, text: str) -> None:
    assert _size(count) == text
