from __future__ import annotations

import gzip
import json
import random
from ipaddress import ip_network

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.config.status import StatusSettings
from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.shm.counters import Counters
from mailworker.wire.http_request import HttpRequest
from tests.status.stage import PEER, Scene

RULES = (Rule(True, ip_network("192.0.2.0/24")), Rule(True, "unix:"), Rule(False, ALL))


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        (InetAddress("192.0.2.7", 1), 200),
        (InetAddress("::ffff:192.0.2.7", 1), 200),
        (UnixAddress(""), 200),
        (InetAddress("192.0.3.7", 1), 403),
        (InetAddress("::1", 1), 403),
    ],
)
def test_the_first_rule_for_a_peer_counts(peer: Address, status: int) -> None:
    scene = Scene(StatusSettings((), (), RULES))
    scene.work(0)
    assert scene.ask(HttpRequest("GET", "/readyz", "", {}), peer).status == status


def test_without_a_rule_for_it_everybody_is_answered() -> None:
    scene = Scene(StatusSettings((), (), (Rule(False, ip_network("192.0.2.0/24")),)))
    scene.work(0)
    assert scene.ask(HttpRequest("GET", "/readyz", "", {}), PEER).status == 200


@pytest.mark.parametrize("path", ["/", "/snapshot", "/metrics", "/status.json", "/healthz", "/readyz", "/nothing"])
@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("status.example:9143", True),
        ("127.0.0.1:9143", True),
        ("[::1]", True),
        ("", True),
        ("evil.example", False),
        ("status.example.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:x", False),
    ],
)
def test_a_stranger_s_name_is_refused_whatever_it_asks_for(path: str, host: str, is_ours: bool) -> None:
    response = Scene().get(path, host=host)
    assert (response.status == 421) is not is_ours


def test_readiness_and_health_follow_the_workers() -> None:
    scene = Scene()
    scene.post()
    assert [scene.get(path).status for path in ("/readyz", "/healthz", "/livez")] == [503, 503, 503]
    assert {scene.get(path).content for path in ("/readyz", "/healthz", "/livez")} == {b"no workers\n"}
    scene.help(1)
    assert [scene.get(path).status for path in ("/readyz", "/healthz", "/livez")] == [503, 503, 503]
    scene.work(0)
    assert [scene.get(path).status for path in ("/readyz", "/healthz", "/livez")] == [200, 200, 200]
    scene.post(stopping=True)
    assert [scene.get(path).status for path in ("/readyz", "/healthz", "/livez")] == [503, 200, 200]
    assert scene.get("/readyz").content == b"draining\n"


def test_what_has_no_page_is_not_found() -> None:
    scene = Scene()
    assert [scene.get(path).status for path in ("/nothing", "/metrics/", "")] == [404, 404, 404]


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    scene = Scene()
    assert scene.get("/metrics").type.startswith("text/plain; version=0.0.4; charset=utf-8")
    response = scene.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert response.type.startswith("application/openmetrics-text; version=")
    assert response.content.endswith(b"# EOF\n")


def test_the_page_comes_with_its_policy() -> None:
    scene = Scene()
    whole, part = scene.get("/"), scene.get("/snapshot")
    assert whole.type == part.type == "text/html; charset=utf-8"
    assert dict(whole.headers)["Content-Security-Policy"] == scene.answers._page.policy
    assert dict(part.headers)["Content-Security-Policy"] == "default-src 'none'"
    assert whole.content.startswith(b"<!DOCTYPE html>")
    assert part.content.startswith(b"<h1>")


def test_whatever_workers_have_written_there_is_an_answer() -> None:
    scene = Scene()
    memory = memoryview(scene.counters._memory)
    memory[:] = random.Random(1).randbytes(len(memory))
    for path in scene.answers.paths:
        assert scene.get(path).status in {200, 503}
    json.loads(scene.get("/status.json").content)


def test_a_probe_reads_no_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.work(0)
    monkeypatch.setattr(Counters, "read", None)
    assert [scene.get(path).status for path in ("/readyz", "/healthz", "/livez")] == [200, 200, 200]


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("GZIP", True), ("deflate, gzip;q=0.5", True), ("gzip ; q=1.0", True), ("gzip;q=0.0", False),
     ("gzip; q=0", False), ("gzipped", False), ("", False), ("identity", False)],
)  # fmt: skip
def test_metrics_are_compressed_for_those_who_take_that(accepted: str, compressed: bool) -> None:
    scene = Scene()
    response = scene.get("/metrics", **{"accept-encoding": accepted})
    assert (("Content-Encoding", "gzip") in response.headers) is compressed
    assert ("Vary", "Accept, Accept-Encoding") in response.headers
    content = gzip.decompress(response.content) if compressed else response.content
    assert content.endswith(b"\n")
    assert b"\nmailworker_ready " in content
