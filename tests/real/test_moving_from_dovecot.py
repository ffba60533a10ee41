"""docs/moving-from-dovecot.md: its Dovecot and its mailworker do the same for the same users."""

from __future__ import annotations

import imaplib
import os
import poplib
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from random import randrange
from subprocess import run

import pytest

from tests.real.conftest import Dovecots
from tests.real.proxy import Proxy, is_oracle
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.daemon import Address, ServerUnavailable, accepts, find_program, running, wait_until
from tests.support.dovecot import Dovecot, process_owners
from tests.support.mailbox import Account, make_message, with_maildir

pytestmark = [
    pytest.mark.skipif(is_oracle(), reason="nginx has no file of users"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can listen on the ports of mail"),
]

PAGE = (Path(__file__).parents[2] / "docs" / "moving-from-dovecot.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(_, DOVECOT), (_, USERS), (_, MAILWORKER), *_ = BLOCKS
(HAPROXY,) = (text for kind, text in BLOCKS if kind == "haproxy")
(BEFORE_HAPROXY,) = (text for kind, text in BLOCKS if kind == "nginx" and "proxy_protocol" in text)

# What Dovecot needs here in addition to the page's settings.
HERE = """
base_dir = $folder/run
state_dir = $folder/state
log_path = $folder/log
listen = $host
default_internal_user = $internal_user
default_internal_group = $internal_group
default_login_user = $login_user
service imap-login {
  chroot =
}
service pop3-login {
  chroot =
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""

PASSWORD = "what the client knows"

# The page's users -> whose mail they read, None for one who may not log in.
READS: Mapping[str, str | None] = {
    "anna@example.com": "anna@example.com",
    "berta@example.com": "berta@example.com",
    "carla@example.com": "c.meier",
    "dora@example.com": "dora@example.com",
    "emil@example.com": None,
}

LogIn = Callable[[str, str], str | None]
"""Logs in with a name and a password; gives the subject of the first message, None after a refusal."""


def free_host() -> str:
    return f"127.{randrange(1, 255)}.{randrange(1, 255)}.{randrange(1, 255)}"


def replaced(text: str, changes: dict[str, str]) -> str:
    for documented, meant in changes.items():
        assert documented in text, documented
        text = text.replace(documented, meant)
    return text


@pytest.fixture(scope="module")
def backend(folder: Path, mail: Path, dovecots: Dovecots) -> Iterator[Dovecot]:
    """It knows dora by another password, and the page's master user."""
    accounts = [
        with_maildir(Account(name, "hers" if name.startswith("dora") else PASSWORD, mail / name))
        for name in READS.values()
        if name
    ]
    for account in accounts:
        account.deliver(make_message(f"for {account.login}"))
    (folder / "moved-masters").write_text("proxy:secret\n")
    masters = f"passdb {{\n  driver = passwd-file\n  master = yes\n  args = scheme=PLAIN {folder}/moved-masters\n}}\n"
    with dovecots.running("moved", accounts, f"login_trusted_networks = 127.0.0.0/8\n{masters}") as server:
        yield server


@pytest.fixture(scope="module")
def certificate(authority: CertificateAuthority) -> Certificate:
    return authority.issue_server("moved-proxy", ecdsa_key(), ("mail.example.com",))


@pytest.fixture(scope="module", params=["imap", "pop3"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def users(backend: Dovecot, protocol: str) -> str:
    """The page's, with hashes by doveadm."""
    command = [find_program("doveadm"), "pw", "-s", "SHA512-CRYPT", "-r", "1000", "-p", PASSWORD]
    hashed = run(command, check=True, capture_output=True, text=True).stdout.strip()
    address = backend.imap if protocol == "imap" else backend.pop3
    text, hashes = re.subn(r"\{SHA512-CRYPT\}[^:]*", hashed, USERS)
    text, hosts = re.subn(r"host=192\.0\.2\.1[012]", f"host={address[0]} port={address[1]}", text)
    assert (hashes, hosts) == (4, 4)
    return text


def start_dovecot(folder: Path, host: str, users: str, certificate: Certificate) -> Iterator[None]:
    (folder / "proxy-users").write_text(users)
    changes = {
        "/etc/dovecot/cert.pem": str(certificate.certificate),
        "/etc/dovecot/cert.key": str(certificate.key),
        "/etc/dovecot/proxy-users": str(folder / "proxy-users"),
        "2 secs": "0",
    }
    here = HERE
    for name, value in {**process_owners(), "folder": str(folder), "host": host}.items():
        here = here.replace(f"${name}\n", f"{value}\n").replace(f"${name}/", f"{value}/")
    path = folder / "dovecot.conf"
    path.write_text(replaced(DOVECOT, changes) + here)
    command = [find_program("dovecot"), "-F", "-c", str(path)]
    with running(command, folder / "output", lambda: accepts((host, 993), (host, 995))):
        yield


def start_mailworker(folder: Path, host: str, users: str, certificate: Certificate) -> Iterator[None]:
    (folder / "proxy-users").write_text(users)
    (folder / "proxy-users").chmod(0o600)
    text = replaced(
        MAILWORKER,
        {
            "worker_processes auto": "worker_processes 1; pid proxy.pid",
            "auth_delay 2s": "auth_delay 10ms",
            "listen ": f"listen {host}:",
            "cert.pem": str(certificate.certificate),
            "cert.key": str(certificate.key),
        },
    )
    proxy = Proxy(folder, text, {})
    wait_until(lambda: accepts((host, 993), (host, 995)), "the proxy")
    yield
    proxy.stop()


@pytest.fixture(scope="module", params=[start_dovecot, start_mailworker], ids=["dovecot", "mailworker"])
def log_in(
    request: pytest.FixtureRequest,
    folder: Path,
    protocol: str,
    users: str,
    certificate: Certificate,
    authority: CertificateAuthority,
) -> Iterator[LogIn]:
    host = free_host()
    context = ssl.create_default_context(cafile=authority.path)
    context.check_hostname = False
    place = folder / f"moved-{protocol}-{host}"
    place.mkdir(mode=0o755)
    ended = request.param(place, host, users, certificate)
    next(ended)
    yield lambda name, password: {"imap": read_imap, "pop3": read_pop3}[protocol](host, context, name, password)
    next(ended, None)


def read_imap(host: str, context: ssl.SSLContext, name: str, password: str) -> str | None:
    with imaplib.IMAP4_SSL(host, ssl_context=context) as client:
        try:
            client.login(name, password)
        except imaplib.IMAP4.error:
            return None
        client.select(readonly=True)
        return subject(str(client.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT)])")))


def read_pop3(host: str, context: ssl.SSLContext, name: str, password: str) -> str | None:
    client = poplib.POP3_SSL(host, context=context)
    try:
        client.user(name)
        client.pass_(password)
        return subject(str(client.top(1, 0)))
    except poplib.error_proto:
        return None
    finally:
        client.close()


def subject(text: str) -> str:
    found = re.search(r"Subject: ([\w.@ ]+)", text)
    assert found, text
    return found[1]


@pytest.mark.parametrize("name", READS)
def test_each_user_reads_the_same_mail_through_both(log_in: LogIn, name: str) -> None:
    owner = READS[name]
    assert log_in(name, PASSWORD) == (None if owner is None else f"for {owner}")


def test_nobody_gets_in_with_another_password_through_either(log_in: LogIn) -> None:
    for name in READS:
        assert log_in(name, "another") is None


@pytest.fixture
def pool(
    folder: Path, dovecot: Dovecot, closed_address: Address, certificate: Certificate, tmp_path: Path
) -> Iterator[Address]:
    """The page's mailworker, whose backends are HAProxy's: one that is there, and one that is not."""
    host = free_host()
    there = cycle([dovecot.imap_haproxy, closed_address])
    text = re.sub(r"192\.0\.2\.1[01]:10143", lambda _: "{}:{}".format(*next(there)), HAPROXY)
    (tmp_path / "haproxy.cfg").write_text(replaced(text, {"127.0.0.1:10143": f"{host}:10143"}))
    changes = {
        "events {": "error_log error.log info; pid proxy.pid; worker_processes 1; events {",
        "listen 993": f"listen {host}:993",
        "127.0.0.1:10143": f"{host}:10143",
        "cert.pem": str(certificate.certificate),
        "cert.key": str(certificate.key),
    }
    place = folder / f"pool-{host}"
    place.mkdir(mode=0o755)
    try:
        command = [find_program("haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg")]
    except ServerUnavailable as error:
        pytest.skip(str(error))
    with running(command, tmp_path / "output", lambda: accepts((host, 10143))):
        proxy = Proxy(place, replaced(BEFORE_HAPROXY, changes), {})
        wait_until(lambda: accepts((host, 993)), "the proxy")
        yield host, 993
        proxy.stop()


def test_haproxy_chooses_a_backend_that_is_there_and_dovecot_learns_the_clients_address(
    pool: Address, account: Account, dovecot: Dovecot, authority: CertificateAuthority
) -> None:
    context = ssl.create_default_context(cafile=authority.path)
    sources = [free_host() for _ in range(4)]
    for source in sources:
        raw = socket.create_connection(pool, source_address=(source, 0))
        with context.wrap_socket(raw, server_hostname="mail.example.com") as client, client.makefile("rb") as reader:
            reader.readline()
            client.sendall(f"a LOGIN {account.login} {account.password}\r\n".encode())
            assert reader.readline().startswith(b"a OK ")

    def noted() -> bool:
        log = dovecot.log.read_text(errors="replace")
        return all(re.search(rf"Login: user=<{account.login}>.* rip={source}, ", log) for source in sources)

    wait_until(noted, "the log of the clients' addresses")
