"""Real Dovecot, Postfix and haproxy hear who the client is, and are logged in at in every way that they take."""

from __future__ import annotations

import imaplib
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security
from tests.real.conftest import BACKEND_NAME, BackendCertificates
from tests.real.proxy import Proxy, is_oracle
from tests.support.auth_service import AuthService, reply
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import Address, ServerUnavailable, wait_until
from tests.support.dovecot import Dovecot, DovecotTls
from tests.support.haproxy import HaproxyBehind
from tests.support.mailbox import Account, make_message
from tests.support.ports import Ports
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx tells IMAP and POP3 servers nothing")

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"
SHOWN = re.compile(r"^```nginx\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What the page's configuration names -> what it is here.
HERE = {
    "worker_processes auto;": "worker_processes 1; error_log error.log info; pid proxy.pid;",
    "127.0.0.1:9000/auth": "127.0.0.1:$auth_service/identity",
    "/etc/mailworker/mail.example.com.crt": "$certificate",
    "/etc/mailworker/mail.example.com.key": "$key",
    "listen 993 ssl;": "listen 127.0.0.1:$imaps ssl; protocol imap;",
    "listen 995 ssl;": "listen 127.0.0.1:$pop3s ssl; protocol pop3;",
    "listen 465 ssl;": "listen 127.0.0.1:$smtps ssl; protocol smtp;",
}

# Beside the page's: what is off by default, another way to the backend, and the other directives of this kind.
MORE = """
    server { listen 127.0.0.1:$imap; protocol imap; starttls on; }
    server { listen 127.0.0.1:$pop3; protocol pop3; starttls on; }
    server { listen 127.0.0.1:$smtp; protocol smtp; starttls on; proxy_smtp_auth on; }
    server { listen 127.0.0.1:$imap_silent; protocol imap; proxy_imap_id off; }
    server { listen 127.0.0.1:$imap_to_starttls; protocol imap; proxy_ssl starttls; }
    server { listen 127.0.0.1:$pop3_to_starttls; protocol pop3; proxy_ssl starttls; }
    server {
        listen 127.0.0.1:$submission;
        protocol smtp;
        proxy_smtp_auth on;
        xclient_fields addr port session ttl helo proto client-transport destname;
    }
    server { listen 127.0.0.1:$smtp_by_name; protocol smtp; xclient off; proxy_pass_helo on; proxy_smtp_auth on; }
    server {
        listen 127.0.0.1:$imap_tlvs ssl;
        protocol imap;
        proxy_imap_id off;
        proxy_protocol v2;
        proxy_protocol_tlv ssl ssl_cn authority alpn unique_id;
    }
}
"""

DOVECOT = """
login_trusted_networks = 127.0.0.0/8
protocols = imap pop3 submission
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {
  driver = passwd-file
  master = yes
  args = scheme=PLAIN username_format=%u MASTERS
}
submission_relay_host = 127.0.0.1
submission_relay_port = RELAY
service submission-login {
  chroot =
  service_count = 0
  inet_listener submission {
    port = SUBMISSION
  }
}
"""
MASTER = ("master", "of all")


@pytest.fixture(scope="module")
def submission(backend_ports: Ports) -> Address:
    """Dovecot's."""
    return ("127.0.0.1", backend_ports["trusting_submission"])


@pytest.fixture(scope="module")
def trusting(
    folder: Path,
    mail: Path,
    accounts: list[Account],
    lengthy_account: Account,
    backend_ports: Ports,
    backend_certificates: BackendCertificates,
    authority: CertificateAuthority,
    submission: Address,
    postfix: Postfix,
) -> Iterator[Dovecot]:
    """A Dovecot that believes everybody of this machine; `MASTER` may act for each user."""
    masters = folder / "masters"
    masters.write_text(":".join(MASTER) + "\n")
    ports = {name: backend_ports[f"trusting_{name}"] for name in Dovecot.PORTS}
    pair = backend_certificates
    tls = DovecotTls(pair.by_address, BACKEND_NAME, pair.by_name, authority.path)
    values = {"MASTERS": masters, "SUBMISSION": submission[1], "RELAY": postfix.smtp[1]}
    more = DOVECOT
    for name, value in values.items():
        more = more.replace(name, str(value))
    try:
        server = Dovecot(folder / "trusting", mail, [*accounts, lengthy_account], ports, tls, more)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(
    folder: Path,
    authority: CertificateAuthority,
    trusting: Dovecot,
    postfix: Postfix,
    auth_service: AuthService,
) -> Iterator[Proxy]:
    certificate = authority.issue_server("identity", ecdsa_key(), ("localhost", "127.0.0.1", "mail.example.test"))
    backends = {"imap": trusting.imap, "pop3": trusting.pop3, "smtp": postfix.submission}
    auth_service.route("/identity", backends)
    (text,) = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    for shown, here in HERE.items():
        assert shown in text
        text = text.replace(shown, here)
    path = folder / "identity"
    path.mkdir(mode=0o755)
    values: dict[str, object] = {
        "auth_service": auth_service.port,
        "certificate": certificate.certificate,
        "key": certificate.key,
        # nginx's variables in the page are not this test's
        "session_id": "$session_id",
        "imap_id_name": "$imap_id_name",
    }
    server = Proxy(path, text.rstrip().removesuffix("}") + MORE, values)
    yield server
    server.stop()


@pytest.fixture
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority.path, ssl.create_default_context(cafile=authority.path))


every_security = pytest.mark.parametrize("security", Security)


def imap_login(clients: Clients, server: str, account: Account, source: str, *before: bytes) -> bytes:
    """The answer to a login from an address, behind some commands."""
    with clients.connect(server, source) as connection, connection.makefile("rwb") as lines:
        lines.readline()
        for command in before:
            lines.write(command + b"\r\n")
            lines.flush()
            while not lines.readline().startswith(command.split(b" ")[0] + b" "):
                pass
        lines.write(f"z LOGIN {account.login} {account.password}\r\n".encode())
        lines.flush()
        return lines.readline()


def logged(server: Dovecot, protocol: str, account: Account) -> re.Match[str]:
    """Dovecot's line of a login: the client's address, and the session's id."""
    line = re.compile(
        rf"{protocol}-login: Info: Login: user=<{account.login}>, method=(\S+), rip=(\S+), lip=(\S+), .*session=<(\S+)>"
    )
    wait_until(lambda: line.search(server.log.read_text()) is not None, "the backend's log line")
    match = line.search(server.log.read_text())
    assert match is not None
    return match


def session_of(auth_service: AuthService, account: Account) -> str:
    return auth_service.requests_of(account.login)[-1].header("Auth-Session")


@pytest.mark.parametrize("server", ["imap", "imap_to_starttls"])
def test_dovecot_logs_the_address_and_the_session_of_an_imap_client(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, server: str
) -> None:
    assert imap_login(clients, server, account, "127.0.0.77").startswith(b"z OK")
    line = logged(trusting, "imap", account)
    assert (line[2], line[3], line[4]) == ("127.0.0.77", "127.0.0.1", session_of(auth_service, account))


@every_security
def test_dovecot_hears_of_it_however_the_client_is_encrypted(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, security: Security
) -> None:
    with clients.imap(security) as client:
        assert client.login(account.login, account.password)[0] == "OK"
    assert logged(trusting, "imap", account)[4] == session_of(auth_service, account)


@pytest.mark.parametrize("server", ["pop3", "pop3_to_starttls"])
def test_dovecot_logs_the_address_and_the_session_of_a_pop3_client(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, server: str
) -> None:
    with clients.connect(server, "127.0.0.78") as connection, connection.makefile("rwb") as lines:
        lines.readline()
        for said in (f"USER {account.login}", f"PASS {account.password}", "STAT"):
            lines.write(said.encode() + b"\r\n")
            lines.flush()
            assert lines.readline().startswith(b"+OK")
    line = logged(trusting, "pop3", account)
    assert (line[2], line[3], line[4]) == ("127.0.0.78", "127.0.0.1", session_of(auth_service, account))


def test_dovecot_hears_nothing_where_nothing_is_to_be_told(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService
) -> None:
    assert imap_login(clients, "imap_silent", account, "127.0.0.79").startswith(b"z OK")
    line = logged(trusting, "imap", account)
    assert line[2] == "127.0.0.1"
    assert line[4] != session_of(auth_service, account)


@pytest.mark.parametrize("server", ["imap", "imap_silent"])
def test_what_a_client_says_of_itself_is_not_believed(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService, proxy: Proxy, server: str
) -> None:
    forged = b'a ID ("name" "Forger" "x-originating-ip" "192.0.2.66" "x-session-id" "forged" "x-proxy-ttl" "5")'
    told = imap_login(clients, server, account, "127.0.0.80", forged, b'b ID ("x-originating-ip" "192.0.2.67")')
    assert told.startswith(b"z OK")
    line = logged(trusting, "imap", account)
    assert line[2] == {"imap": "127.0.0.80", "imap_silent": "127.0.0.1"}[server]
    assert line[4] != "forged"
    assert auth_service.requests_of(account.login)[-1].header("Auth-Client-Name") == "Forger"
    assert 'client sent ID: name="Forger", x-originating-ip="192.0.2.66"' in proxy.error_log.read_text()


def test_an_id_behind_the_login_changes_nothing_at_dovecot(
    clients: Clients, account: Account, trusting: Dovecot
) -> None:
    with clients.imap(Security.TLS) as client:
        client.login(account.login, account.password)
        assert client.xatom("ID", '("x-originating-ip" "192.0.2.68")')[0] == "OK"
    assert "192.0.2.68" not in logged(trusting, "imap", account)[0]


def test_proxies_in_a_circle_come_to_an_end(clients: Clients, account: Account, proxy: Proxy) -> None:
    last = b'a ID ("x-proxy-ttl" "1")'
    refused = b"z NO [UNAVAILABLE] Temporary authentication failure\r\n"
    assert imap_login(clients, "imap", account, "127.0.0.1", last) == refused
    assert "client came through too many proxies" in proxy.error_log.read_text()


def test_clients_are_greeted_and_identified_to_as_the_page_says(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(imaplib.Commands, "ID", ("NONAUTH",))
    with clients.imap(Security.TLS) as client:
        assert client.welcome == b"* OK mail.example.com is ready"
        assert {"SASL-IR", "ID", "AUTH=PLAIN"} <= set(client.capabilities)
        client.xatom("ID", "NIL")
        assert client.response("ID")[1] == [b'("name" "mail.example.com")']
    reader = clients.pop3(Security.TLS)
    assert reader.welcome == b"+OK mail.example.com is ready"
    reader.quit()


def test_postfix_logs_the_port_of_a_client_and_its_helo(clients: Clients, account: Account, postfix: Postfix) -> None:
    with clients.smtp(Security.TLS, source="127.0.0.81") as client:
        assert client.sock is not None
        port = client.sock.getsockname()[1]
        client.ehlo("client.example.test")
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by XCLIENT"))
    wait_until(lambda: f"[127.0.0.81]:{port}" in postfix.log.read_text(), "the backend's log line")
    wait_until(lambda: account.arrivals() > 0, "the delivery")
    (message,) = account.messages()
    assert b"from client.example.test (unknown [127.0.0.81])" in message
    assert f"(Authenticated sender: {account.login})".encode() in message


def test_dovecot_s_submission_service_hears_of_the_session(
    clients: Clients,
    account: Account,
    trusting: Dovecot,
    submission: Address,
    auth_service: AuthService,
) -> None:
    moved = auth_service.moved(account.login, {"smtp": submission})
    with moved, clients.smtp(Security.NONE, "submission", source="127.0.0.82") as client:
        client.login(account.login, account.password)
    line = logged(trusting, "submission", account)
    assert (line[2], line[4]) == ("127.0.0.82", session_of(auth_service, account))


def test_the_helo_is_kept_without_xclient(clients: Clients, account: Account, postfix: Postfix) -> None:
    assert postfix.submission
    with clients.smtp(Security.NONE, "smtp_by_name") as client:
        client.ehlo("client.example.test")
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by its own name"))
    wait_until(lambda: account.arrivals() > 0, "the delivery")
    (message,) = account.messages()
    assert b"from client.example.test (unknown [127.0.0.1])" in message


@pytest.fixture
def haproxy(tmp_path: Path, trusting: Dovecot) -> Iterator[HaproxyBehind]:
    try:
        server = HaproxyBehind(tmp_path, trusting.imap)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


def test_haproxy_reads_the_unique_id_and_the_server_name_of_the_header(
    clients: Clients, account: Account, haproxy: HaproxyBehind, auth_service: AuthService
) -> None:
    session = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    with auth_service.moved(account.login, {"imap": haproxy.address}):
        options = ["-quiet", "-servername", "mail.example.test", "-alpn", "imap"]
        result = clients.openssl("imap_tlvs", *options, greeting=b"* OK", data=session)
    assert b"\na OK " in result.stdout
    told = f"127.0.0.1 mail.example.test {session_of(auth_service, account)}"
    wait_until(lambda: told in haproxy.told, "haproxy's log line")


def test_dovecot_takes_a_header_with_every_fact(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService
) -> None:
    session = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    with auth_service.moved(account.login, {"imap": trusting.imap_haproxy}):
        options = ["-quiet", "-servername", "mail.example.test", "-alpn", "imap"]
        result = clients.openssl("imap_tlvs", *options, greeting=b"* OK", data=session)
    assert b"\na OK " in result.stdout
    assert " secured, " in logged(trusting, "imap", account)[0]


def through(backend: Address, *headers: tuple[str, str]) -> bytes:
    where = ("Auth-Status", "OK"), ("Auth-Server", backend[0]), ("Auth-Port", str(backend[1]))
    return reply(*where, *headers)


every_protocol = pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])


def log_in(clients: Clients, protocol: str, login: str, password: str) -> None:
    """By the client's simplest way; raises what the client's library does."""
    if protocol == "imap":
        with clients.imap(Security.NONE) as client:
            client.login(login, password)
    elif protocol == "pop3":
        reader = clients.pop3(Security.NONE)
        reader.user(login)
        reader.pass_(password)
        reader.quit()
    else:
        with clients.smtp(Security.NONE) as sender:
            sender.login(login, password)


def backends(trusting: Dovecot, submission: Address) -> dict[str, Address]:
    return {"imap": trusting.imap, "pop3": trusting.pop3, "smtp": submission}


@every_protocol
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_dovecot_is_logged_in_at_by_the_mechanism_that_the_auth_service_names(
    clients: Clients,
    account: Account,
    trusting: Dovecot,
    submission: Address,
    auth_service: AuthService,
    protocol: str,
    mechanism: str,
) -> None:
    backend = backends(trusting, submission)[protocol]
    auth_service.script(account.login, lambda _: through(backend, ("Auth-Backend-Mech", mechanism)))
    log_in(clients, protocol, account.login, account.password)
    name = {"smtp": "submission"}.get(protocol, protocol)
    assert logged(trusting, name, account)[1] == mechanism.upper()


@every_protocol
def test_a_master_user_acts_for_the_login(
    clients: Clients,
    account: Account,
    trusting: Dovecot,
    submission: Address,
    auth_service: AuthService,
    protocol: str,
) -> None:
    backend = backends(trusting, submission)[protocol]
    master = ("Auth-Master-User", MASTER[0]), ("Auth-Pass", MASTER[1])
    auth_service.script(account.login, lambda _: through(backend, *master))
    log_in(clients, protocol, account.login, "whatever")
    name = {"smtp": "submission"}.get(protocol, protocol)
    assert logged(trusting, name, account)[1] == "PLAIN"


@every_protocol
@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_dovecot_takes_a_token_from_the_auth_service(
    clients: Clients,
    account: Account,
    trusting: Dovecot,
    submission: Address,
    auth_service: AuthService,
    protocol: str,
    mechanism: str,
) -> None:
    backend = backends(trusting, submission)[protocol]
    token = ("Auth-Backend-Mech", mechanism), ("Auth-Pass", account.password)
    auth_service.script(account.login, lambda _: through(backend, *token))
    log_in(clients, protocol, account.login, "whatever")
    name = {"smtp": "submission"}.get(protocol, protocol)
    assert logged(trusting, name, account)[1] == mechanism.upper()


def test_postfix_that_offers_login_alone_is_logged_in_at_by_it(
    clients: Clients, account: Account, postfix: Postfix, auth_service: AuthService
) -> None:
    with auth_service.moved(account.login, {"smtp": postfix.login_only}), clients.smtp(Security.NONE) as client:
        client.login(account.login, account.password)
        assert client.mail(account.login)[0] == 250
        assert client.rcpt("elsewhere@example.org")[0] == 250
    wait_until(lambda: f"sasl_method=LOGIN, sasl_username={account.login}" in postfix.log.read_text(), "the log line")


def test_postfix_is_not_logged_in_at_where_the_auth_service_says_so(
    clients: Clients, account: Account, postfix: Postfix, auth_service: AuthService
) -> None:
    """XCLIENT tells the login instead."""
    auth_service.script(account.login, lambda _: through(postfix.submission, ("Auth-Method", "none")))
    with clients.smtp(Security.NONE) as client:
        client.login(account.login, "whatever")
        client.mail(account.login)
        assert client.rcpt("elsewhere@example.org")[0] == 250
    wait_until(lambda: f"sasl_method=XCLIENT, sasl_username={account.login}" in postfix.log.read_text(), "the line")


def test_a_wrong_password_at_dovecot_is_one_and_the_session_goes_on(
    clients: Clients, account: Account, trusting: Dovecot, auth_service: AuthService
) -> None:
    auth_service.script(account.login, lambda request: through(trusting.imap))
    with clients.imap(Security.TLS) as client:
        with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\] Authentication failed"):
            client.login(account.login, "wrong")
        assert client.login(account.login, account.password)[0] == "OK"


def test_a_backend_that_is_not_there_is_no_wrong_password(
    clients: Clients, account: Account, closed_address: Address, auth_service: AuthService
) -> None:
    with auth_service.moved(account.login, dict.fromkeys(("imap", "pop3", "smtp"), closed_address)):
        with clients.imap(Security.TLS) as client, pytest.raises(imaplib.IMAP4.error, match=r"\[UNAVAILABLE\]"):
            client.login(account.login, account.password)
        with clients.smtp(Security.TLS) as sender:
            sender.ehlo()
            plain = b64encode(f"\0{account.login}\0{account.password}".encode()).decode()
            assert sender.docmd("AUTH", f"PLAIN {plain}")[0] == 454
