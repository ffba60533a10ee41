"""One session cache for all workers, on the real binary."""

from __future__ import annotations

import os
import signal
import ssl
import time
from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

from tests.process.conftest import Install
from tests.process.tls.clients import Visit, client_context, connected, s_client, visit, visit_all, workers_of
from tests.process.tls.servers import configuration, key_pair, reload, start, tls_server
from tests.support.certificates import Certificate, CertificateAuthority
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import Mailworker, descriptors

# MAILWORKER_LONG_TESTS=1 resumes as often as a busy server does.
RESUMPTIONS = 2000 if os.environ.get("MAILWORKER_LONG_TESTS") else 300
SESSIONS = 50
WORKERS = 4

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
CACHED = "ssl_session_cache shared:SSL:1m;"
TICKETLESS = f"ssl_session_tickets off; {CACHED}"


def cached_server(port: int, certificate: Certificate, directives: str = "") -> str:
    return tls_server(port, f"{key_pair(certificate)} {directives}")


@VERSIONS
def test_every_worker_resumes_every_session_before_and_after_a_reload(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    mailworker = start(install, configuration(cached_server(port, ecdsa, TICKETLESS), workers=WORKERS), WORKERS)
    client = client_context(version)
    made = visit_all(port, client, [None] * SESSIONS)
    sessions = [visit.session for visit in made]
    assert all(visit.reused for visit in visit_every_worker(mailworker, port, client, sessions))
    reload(mailworker, WORKERS)
    assert all(visit.reused for visit in visit_every_worker(mailworker, port, client, sessions))


def visit_every_worker(
    mailworker: Mailworker, port: int, client: ssl.SSLContext, sessions: list[ssl.SSLSession | None]
) -> list[Visit]:
    """At least RESUMPTIONS visits, and as many more as it takes: a busy system may let one worker sleep for a while."""
    visits: list[Visit] = []
    while len(visits) < 20 * RESUMPTIONS:
        visits += visit_all(port, client, islice(cycle(sessions), RESUMPTIONS))
        if len(workers_of(mailworker, visits)) == WORKERS:
            return visits
    raise AssertionError(f"of {WORKERS} workers {len(workers_of(mailworker, visits))} have served anybody")


@VERSIONS
def test_without_a_shared_cache_other_workers_know_nothing(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    start(
        install,
        configuration(
            cached_server(port, ecdsa, "ssl_session_tickets off; ssl_session_cache builtin;"), workers=WORKERS
        ),
        WORKERS,
    )
    client = client_context(version)
    session = visit(port, client).session
    assert not all(visit.reused for visit in visit_all(port, client, [session] * RESUMPTIONS))


@VERSIONS
def test_both_caches_together(install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion) -> None:
    both = "ssl_session_tickets off; ssl_session_cache builtin:100 shared:SSL:1m;"
    start(install, configuration(cached_server(port, ecdsa, both), workers=WORKERS), WORKERS)
    client = client_context(version)
    sessions = [visit.session for visit in visit_all(port, client, [None] * SESSIONS)]
    assert all(visit.reused for visit in visit_all(port, client, sessions * 3))


@VERSIONS
def test_sessions_keep_their_client_certificate_in_every_worker(
    install: Install,
    port: int,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
    version: ssl.TLSVersion,
) -> None:
    verify = f"ssl_verify_client on; ssl_client_certificate {authority.path};"
    start(install, configuration(cached_server(port, ecdsa, f"{TICKETLESS} {verify}"), workers=WORKERS), WORKERS)
    client = client_context(version, client_certificate)
    sessions = [visit.session for visit in visit_all(port, client, [None] * SESSIONS)]
    assert all(visit.reused for visit in visit_all(port, client, sessions * 3))


@VERSIONS
def test_one_zone_serves_several_servers(
    install: Install, port: int, ports: Ports, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    other = ports["other"]
    text = configuration(cached_server(port, ecdsa, TICKETLESS), cached_server(other, ecdsa, TICKETLESS))
    start(install, text)
    client = client_context(version)
    session = visit(port, client).session
    assert visit(other, client, session).reused


@VERSIONS
@pytest.mark.parametrize("directives", [TICKETLESS, CACHED])
def test_no_session_leads_past_ssl_verify_client_of_another_server(
    install: Install,
    port: int,
    ports: Ports,
    ecdsa: Certificate,
    authority: CertificateAuthority,
    version: ssl.TLSVersion,
    directives: str,
) -> None:
    verifying = ports["verifying"]
    verify = f"ssl_verify_client on; ssl_client_certificate {authority.path};"
    servers = cached_server(port, ecdsa, directives), cached_server(verifying, ecdsa, f"{directives} {verify}")
    start(install, configuration(*servers))
    client = client_context(version)
    session = visit(port, client).session
    assert visit(port, client, session).reused
    with connected(verifying, client, session) as stranger:
        assert not stranger.session_reused
        assert stranger.recv(100) == b"* BYE No required SSL certificate\r\n"


@VERSIONS
def test_workers_share_ticket_keys_over_a_reload(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    mailworker = start(install, configuration(cached_server(port, ecdsa, CACHED), workers=WORKERS), WORKERS)
    client = client_context(version)
    sessions = [visit.session for visit in visit_all(port, client, [None] * SESSIONS)]
    assert all(visit.reused for visit in visit_all(port, client, sessions * 3))
    reload(mailworker, WORKERS)
    assert all(visit.reused for visit in visit_all(port, client, sessions * 3))


@VERSIONS
def test_workers_learn_of_new_ticket_keys(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    server = cached_server(port, ecdsa, f"{CACHED} ssl_session_timeout 3s;")
    start(install, configuration(server, workers=WORKERS), WORKERS)
    client = client_context(version)
    old = visit(port, client).session
    while visit(port, client, old).reused:  # keys serve for as long as sessions live
        time.sleep(0.2)

    def everywhere() -> bool:
        """Whether new sessions are resumed by every worker, which they are not if their time is over meanwhile."""
        sessions = [visit.session for visit in visit_all(port, client, [None] * WORKERS)]
        return all(visit.reused for visit in visit_all(port, client, sessions * WORKERS))

    wait_until(everywhere, "the use of new keys by all workers")


def test_a_daemon_publishes_new_ticket_keys(install: Install, port: int, ecdsa: Certificate) -> None:
    """Becoming one closes all descriptors but those that are said to be needed."""
    server = cached_server(port, ecdsa, f"{CACHED} ssl_session_timeout 1s;")
    mailworker = install(configuration(server, workers=2))
    mailworker.start_daemon()
    mailworker.await_workers(2)
    first = _published_keys(mailworker.pid)
    assert any(first)
    mailworker.await_true(lambda: _published_keys(mailworker.pid) != first, "new keys")
    reload(mailworker, 2)
    second = _published_keys(mailworker.pid)
    mailworker.await_true(lambda: _published_keys(mailworker.pid) != second, "new keys after a reload")
    assert len(mailworker.lines(r"\[(alert|emerg|crit)\]")) == 0


def _published_keys(master: int) -> bytes:
    """What the master's workers read."""
    (content,) = (path.read_bytes() for path, link in descriptors(master).items() if "ticket keys" in link)
    return content


@VERSIONS
def test_without_a_zone_a_reload_brings_new_ticket_keys(
    install: Install, port: int, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    mailworker = start(install, configuration(cached_server(port, ecdsa)))
    client = client_context(version)
    session = visit(port, client).session
    assert visit(port, client, session).reused
    reload(mailworker)
    assert not visit(port, client, session).reused


def test_another_size_is_another_zone(install: Install, port: int, ecdsa: Certificate) -> None:
    mailworker = start(install, configuration(cached_server(port, ecdsa, TICKETLESS)))
    client = client_context(ssl.TLSVersion.TLSv1_3)
    session = visit(port, client).session
    mailworker.configure(configuration(cached_server(port, ecdsa, TICKETLESS.replace("1m", "2m"))))
    reload(mailworker)
    assert not visit(port, client, session).reused
    session = visit(port, client).session
    assert visit(port, client, session).reused


def test_a_master_forgets_zones_that_it_needs_no_more(install: Install, port: int, ecdsa: Certificate) -> None:
    """Keys of the default ssl_session_timeout would be due in five minutes."""
    mailworker = start(install, configuration(cached_server(port, ecdsa, CACHED)))
    for name in ("A", "B", "C"):
        mailworker.configure(configuration(cached_server(port, ecdsa, CACHED.replace("SSL", name))))
        reload(mailworker)
    wait_until(lambda: _zones(mailworker.pid) == 1, "the end of former zones")


def _zones(pid: int) -> int:
    """How many pieces of memory without a name a process shares with others."""
    return (Path("/proc") / str(pid) / "maps").read_text().count(" /dev/zero (deleted)")


def test_a_single_process_shares_with_its_successor(install: Install, port: int, ecdsa: Certificate) -> None:
    for directives in (TICKETLESS, CACHED):
        mailworker = install(f"master_process off; {configuration(cached_server(port, ecdsa, directives))}")
        mailworker.start()
        client = client_context(ssl.TLSVersion.TLSv1_3)
        session = visit(port, client).session
        mailworker.signal(signal.SIGHUP)
        mailworker.await_line("gracefully shutting down|reconfiguring$")
        assert visit(port, client, session).reused
        mailworker.stop()


def test_nothing_is_left_when_all_processes_are_killed(install: Install, port: int, ecdsa: Certificate) -> None:
    before = _named_memory()
    mailworker = start(install, configuration(cached_server(port, ecdsa, TICKETLESS), workers=WORKERS), WORKERS)
    mailworker.alerts.append("master process is gone")  # a worker that sees it before it is killed itself
    visit(port, client_context(ssl.TLSVersion.TLSv1_3))
    master = psutil.Process(mailworker.pid)
    family = [master, *master.children(recursive=True)]
    assert len(family) == 1 + WORKERS  # no helper beside them
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=PATIENCE)
    assert _named_memory() <= before


def _named_memory() -> set[Path]:
    """Shared memory that has a name, but for that of a program which other tests run meanwhile."""
    return {path for path in Path("/dev/shm").iterdir() if "faketime" not in path.name}


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_what_it_has_saved(
    install: Install, port: int, ecdsa: Certificate, sessions: Path, option: str
) -> None:
    start(install, configuration(cached_server(port, ecdsa, TICKETLESS), workers=WORKERS), WORKERS)
    assert "\nNew, TLSv1" in s_client(port, option, "-sess_out", str(sessions))
    for _ in range(2 * WORKERS):
        assert "\nReused, TLSv1" in s_client(port, option, "-sess_in", str(sessions))


def test_openssl_reconnects(install: Install, port: int, ecdsa: Certificate) -> None:
    # With more workers, the next one may be asked for a session that the last one is about to store.
    start(install, configuration(cached_server(port, ecdsa, TICKETLESS)))
    printed = s_client(port, "-tls1_2", "-reconnect")
    assert printed.count("\nReused, TLSv1.2") == 5
