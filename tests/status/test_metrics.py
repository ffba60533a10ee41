from __future__ import annotations

import random
import subprocess
from collections.abc import Iterable
from dataclasses import replace

import pytest
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mailworker.mail.counting import BACKEND_FAULTS
from mailworker.mail.end import End
from mailworker.mail.limits.zones import ZoneUse
from mailworker.mail.vitals import STARTED
from mailworker.process.steps import at_once
from mailworker.status.metrics import Metrics, families
from mailworker.status.snapshot import NOTHING, CertificateState, DirectoryState, Snapshot
from mailworker.tls.folder import STATES
from tests.status.stage import IMAP, SMTP, Scene
from tests.support.daemon import find_program

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text; version=1.0.0"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.work(0)
    scene.count(0, "accepted", *IMAP, amount=3)
    scene.count(0, "ended", *IMAP, "quit", amount=2)
    scene.count(0, "auth", "imap", "http", "plain", "ok")
    scene.count(0, "upstream_failures", "imap", "upstream_tls", amount=4)
    for bucket, amount in (("0.01", 4), ("0.5", 2), ("+Inf", 1), ("sum", 61_500_000)):
        scene.count(0, "auth_seconds", "http", bucket, amount=amount)
    return scene


def render(scene: Scene, accept: str) -> str:
    content, kind = at_once(Metrics(scene.take).render(accept))
    assert kind.startswith(accept.partition(";")[0])
    return content.decode()


def samples(scene: Scene, accept: str) -> Samples:
    parse = parse_openmetrics if accept == OPENMETRICS else parse_text
    families = [*parse(render(scene, accept))]
    assert len({family.name for family in families}) == len(families)
    found = [(each.name, frozenset(each.labels.items()), each.value) for family in families for each in family.samples]
    assert len({each[:2] for each in found}) == len(found)
    return {each[:2]: each[2] for each in found}


def labelled(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"mailworker_{name}", frozenset(labels.items())


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_both_formats_can_be_parsed_and_say_what_was_counted(scene: Scene, accept: str) -> None:
    found = samples(scene, accept)
    mine = {"server": "in", "protocol": "imap"}
    assert found[labelled("connections_accepted_total", **mine)] == 3
    assert found[labelled("sessions_total", **mine, end="quit")] == 2
    assert found[labelled("connections", **mine, state="login")] == 1
    assert found[labelled("auth_requests_total", protocol="imap", source="http", method="plain", result="ok")] == 1
    assert found[labelled("upstream_failures_total", protocol="imap", reason="upstream_tls")] == 4
    buckets = [(0.005, 0), (0.01, 4), (0.2, 4), (0.5, 6), (60.0, 6)]
    assert [found[labelled("auth_seconds_bucket", source="http", le=str(bound))] for bound, _ in buckets] == [
        count for _, count in buckets
    ]
    assert found[labelled("auth_seconds_bucket", source="http", le="+Inf")] == 7
    assert found[labelled("auth_seconds_count", source="http")] == 7
    assert found[labelled("auth_seconds_sum", source="http")] == 61.5
    assert found[labelled("workers")] == 1
    assert found[labelled("ready")] == 1


class Registry:
    """All metrics, to be written by the library alone."""

    def __init__(self, metrics: Metrics, snapshot: Snapshot) -> None:
        self.found = [metrics.metric(family) for family in families(snapshot)]

    def collect(self) -> Iterable[Metric]:
        return self.found


FORMATS = [
    *("", TEXT, OPENMETRICS, "text/plain; version=1.0.0; escaping=allow-utf-8"),
    "application/openmetrics-text; version=1.0.0; escaping=values",
]


@pytest.mark.parametrize("accept", FORMATS)
def test_it_is_what_the_library_writes_each_time(scene: Scene, accept: str) -> None:
    taken = [scene.take()]
    metrics = Metrics(lambda: taken[0])
    encode, kind = choose_encoder(accept)

    def answers() -> bool:
        taken[0] = scene.take()
        return at_once(metrics.render(accept)) == (encode(Registry(metrics, taken[0])), kind)

    assert answers()
    scene.count(0, "accepted", *SMTP, amount=10**17)
    scene.count(0, "auth_seconds", "http", "sum", amount=1)
    assert answers()
    scene.work(1)
    scene.certificates = [
        CertificateState("in", name, "0F", 1.7e9, 1.8e9) for name in ('a"b\\', "c\rd\u2028e\nf", "g h # i")
    ]
    assert answers()
    scene.certificates.pop()
    assert answers()


def test_of_two_workers_with_one_number_as_during_a_reload_the_latest_is_shown(scene: Scene) -> None:
    scene.work(1, number=0)
    for row, started in ((0, 8), (1, 5)):
        scene.count(row, STARTED, amount=started)
    found = samples(scene, TEXT)
    assert found[labelled("worker_start_time_seconds", worker="0")] == 8
    assert found[labelled("workers")] == 2
    scene.work(2, number=0, leaving=True)
    scene.count(2, STARTED, amount=9)
    found = samples(scene, TEXT)
    assert found[labelled("worker_start_time_seconds", worker="0")] == 8
    assert (found[labelled("workers")], found[labelled("workers_draining")]) == (2, 1)


@pytest.mark.parametrize("version", ["x", "1.x", "=", "\xff", "1" * 5000, "-1", "1..0", "9.9.9"])
@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
def test_a_version_that_does_not_exist_is_no_bug(scene: Scene, kind: str, version: str) -> None:
    found = at_once(Metrics(scene.take).render(f"{kind}; version={version}; escaping={version}"))[0]
    assert b"mailworker_ready 1" in found


def test_only_the_formats_asked_for_last_are_kept(scene: Scene) -> None:
    metrics = Metrics(scene.take)
    metrics._choose = lambda accept_header: (choose_encoder("")[0], accept_header)  # the library may know fewer
    kinds = [at_once(metrics.render(str(number)))[1] for number in range(10)]
    assert [*metrics._lines] == kinds[-4:]


def test_certificates_are_told_with_their_end(scene: Scene) -> None:
    scene.certificates = [
        CertificateState("in", 'a"b', "0F", 1_700_000_000.0, 1_800_000_000.0),
        CertificateState("in", "b", "01", 1.0, 5.0),
    ]
    found = samples(scene, OPENMETRICS)
    labels = {"server": "in", "subject": 'a"b', "serial": "0F"}
    assert found[labelled("tls_certificate_start_seconds", **labels)] == 1_700_000_000
    assert found[labelled("tls_certificate_expiry_seconds", **labels)] == 1_800_000_000


def test_a_directory_has_as_many_series_whatever_is_below_it(scene: Scene) -> None:
    counts = {"valid": 3000, "due": 2, "invalid": 1, "unused": 7}
    nothing = DirectoryState("/none", dict.fromkeys(STATES, 0), None, 0)
    scene.directories = [DirectoryState("/certs", counts, 5.0, 4), nothing]
    found = {key: value for key, value in samples(scene, OPENMETRICS).items() if "tls_directory" in key[0]}
    for state, count in counts.items():
        assert found.pop(labelled("tls_directory_certificates", directory="/certs", state=state)) == count
    assert found.pop(labelled("tls_directory_first_expiry_seconds", directory="/certs")) == 5
    assert found.pop(labelled("tls_directory_faulty_files", directory="/certs")) == 4
    assert [*found.values()] == [0] * 5


@pytest.mark.parametrize("error", [None, "it failed"])
def test_the_last_reload_is_told_of(scene: Scene, error: str | None) -> None:
    scene.state.reload(scene.counters, error)
    scene.post()
    found = samples(scene, OPENMETRICS)
    assert found[labelled("config_last_reload_successful")] == (error is None)


def test_the_keys_of_zones_are_told() -> None:
    use = ZoneUse("clients", "client address", entries=3, bans=2, room=1000, dropped=5)
    found = {family.name: family.series for family in families(replace(NOTHING, limits=(use,)))}
    told = {"limit_zone_entries": 3, "limit_zone_capacity": 1000, "bans": 2, "limit_zone_exhausted": 5}
    assert {name: found[name] for name in told} == {name: [(("clients",), (value,))] for name, value in told.items()}


def test_all_series_are_there_from_the_start() -> None:
    found = samples(Scene(), OPENMETRICS)
    for each in (IMAP, SMTP):
        for end in End:
            assert found[labelled("sessions_total", **each._asdict(), end=end.word)] == 0
        for end in BACKEND_FAULTS:
            assert found[labelled("upstream_failures_total", protocol=each.protocol, reason=end.word)] == 0
    assert found[labelled("connections_dropped_total", reason="worker_connections")] == 0
    assert found[labelled("worker_respawns_total", reason="signal")] == 0
    assert found[labelled("config_reloads_total", result="failure")] == 0
    assert found[labelled("workers")] == 0


@pytest.mark.parametrize("garbage", [False, True], ids=["counted", "garbage"])
def test_promtool_finds_nothing_to_complain_of(scene: Scene, garbage: bool) -> None:
    if garbage:
        memory = memoryview(scene.counters._memory)
        memory[:] = random.Random(3).randbytes(len(memory))
    tool = find_program("promtool")
    ran = subprocess.run(
        [tool, "check", "metrics"], input=render(scene, TEXT), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert samples(scene, OPENMETRICS)


def test_in_portions_it_is_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = without_time(at_once(Metrics(scene.take).render(TEXT)))
    monkeypatch.setattr("mailworker.status.metrics._PORTION", 3)
    metrics = Metrics(scene.take)
    assert len([*metrics.render(TEXT)]) > 100
    assert without_time(at_once(metrics.render(TEXT))) == whole
    assert without_time(at_once(Metrics(scene.take).render(TEXT))) == whole


def without_time(answer: tuple[bytes, str]) -> list[bytes]:
    """The lines of an answer, but not the worker's processor time."""
    return [line for line in answer[0].split(b"\n") if not line.startswith(b"mailworker_worker_cpu")]
