"""Real servers behind the proxy, started once, each when the first test asks for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailworker.process.system import sandbox
from tests.real import backend_tls, identity
from tests.real.clients import Clients
from tests.real.configuration import CONFIGURATION
from tests.real.programs import Programs
from tests.real.proxy import Proxy, is_oracle, running
from tests.support.auth_service import AuthService
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key
from tests.support.daemon import Address, ServerUnavailable, mail_owner
from tests.support.dovecot import Dovecot, DovecotTls
from tests.support.exim import Exim
from tests.support.mailbox import Account, create_account, name_account, with_maildir
from tests.support.ports import Ports
from tests.support.postfix import Postfix

ACCOUNTS = 800
BACKEND_NAME = "backend.example.test"


@dataclass(frozen=True, slots=True)
class BackendCertificates:
    """Issued to the addresses of the backends, and to BACKEND_NAME, which Postfix has alone and Dovecot by SNI."""

    by_address: Certificate
    by_name: Certificate


@dataclass(frozen=True, slots=True)
class Dovecots:
    """Starts Dovecots, each with ports and a folder of its own. The clients' certificates are `authority`'s."""

    folder: Path
    mail: Path
    ports: Ports
    certificates: BackendCertificates
    authority: Path

    @contextmanager
    def running(
        self, name: str, accounts: Sequence[Account], more: str = "", *, demanding: bool = False
    ) -> Iterator[Dovecot]:
        """One with these accounts and `more` settings; without the program the test is skipped."""
        ports = {port: self.ports[f"{name}_{port}"] for port in Dovecot.PORTS}
        pair = self.certificates
        tls = DovecotTls(pair.by_address, BACKEND_NAME, pair.by_name, self.authority, demanding=demanding)
        try:
            server = Dovecot(self.folder / f"dovecot-{name}", self.mail, accounts, ports, tls, more)
        except ServerUnavailable as error:
            pytest.skip(str(error))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that the unprivileged processes of every server can enter."""
    path = Path(tempfile.mkdtemp(prefix="mailworker-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def mail(folder: Path) -> Path:
    """The folder of all maildirs."""
    path = folder / "mail"
    path.mkdir()
    owner = mail_owner()
    os.chown(path, owner.pw_uid, owner.pw_gid)
    return path


@pytest.fixture(scope="session")
def accounts(mail: Path) -> list[Account]:
    return [name_account(mail, f"user-{number}") for number in range(ACCOUNTS)]


@pytest.fixture(scope="session")
def awkward_account(mail: Path) -> Account:
    """Its password needs quoting in every protocol."""
    return create_account(mail, "awkward", 'per%20cent "quoted" back\\slash +{3}')


@pytest.fixture(scope="session")
def lengthy_account(mail: Path) -> Account:
    """Its password, a token perhaps, is longer than the commands that backends take. Dovecot and Postfix know it."""
    return create_account(mail, "lengthy", "0123456789" * 200)


@pytest.fixture(scope="session")
def unused_accounts(accounts: list[Account]) -> Iterator[Account]:
    return map(with_maildir, accounts)  # few are used, and to make and to remove 800 maildirs takes seconds


@pytest.fixture
def account(unused_accounts: Iterator[Account]) -> Account:
    """An account that no other test uses, with an empty mailbox."""
    return next(unused_accounts)


@pytest.fixture(scope="session")
def backend_ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture(scope="session")
def closed_address(backend_ports: Ports) -> Address:
    """Nobody listens here."""
    return ("127.0.0.1", backend_ports["nobody"])


@pytest.fixture(scope="session")
def backend_certificates(authority: CertificateAuthority) -> BackendCertificates:
    return BackendCertificates(
        authority.issue_server("backend-by-address", ecdsa_key(), ("127.0.0.1",)),
        authority.issue_server("backend-by-name", rsa_key(), (BACKEND_NAME,)),
    )


@pytest.fixture(scope="session")
def auth_service(accounts: list[Account], awkward_account: Account, lengthy_account: Account) -> Iterator[AuthService]:
    service = AuthService([*accounts, awkward_account, lengthy_account])
    yield service
    service.stop()


@pytest.fixture(scope="session")
def dovecots(
    folder: Path,
    mail: Path,
    backend_ports: Ports,
    backend_certificates: BackendCertificates,
    authority: CertificateAuthority,
) -> Dovecots:
    return Dovecots(folder, mail, backend_ports, backend_certificates, authority.path)


@pytest.fixture(scope="session")
def dovecot(
    dovecots: Dovecots,
    accounts: list[Account],
    awkward_account: Account,
    lengthy_account: Account,
    auth_service: AuthService,
) -> Iterator[Dovecot]:
    with dovecots.running("main", [*accounts, awkward_account, lengthy_account]) as server:
        auth_service.route("/", {"imap": server.imap, "pop3": server.pop3, "sieve": server.sieve})
        auth_service.route("/haproxy", {"imap": server.imap_haproxy, "pop3": server.pop3_haproxy})
        auth_service.route("/on", {"imap": server.imaps, "pop3": server.pop3s})
        auth_service.route("/starttls", {"imap": server.imap, "pop3": server.pop3, "sieve": server.sieve})
        yield server


@pytest.fixture(scope="session")
def postfix(
    folder: Path,
    mail: Path,
    accounts: list[Account],
    awkward_account: Account,
    lengthy_account: Account,
    dovecot: Dovecot,
    backend_ports: Ports,
    backend_certificates: BackendCertificates,
    auth_service: AuthService,
) -> Iterator[Postfix]:
    ports = {name: backend_ports[name] for name in Postfix.PORTS}
    certificate = backend_certificates.by_name
    known = [*accounts, awkward_account, lengthy_account]
    try:
        server = Postfix(folder / "postfix", mail, known, dovecot.sasl, ports, certificate)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    auth_service.route("/", {"smtp": server.smtp})
    auth_service.route("/submission", {"smtp": server.submission})
    auth_service.route("/haproxy", {"smtp": server.smtp_haproxy})
    auth_service.route("/on", {"smtp": server.smtps})
    auth_service.route("/on/submission", {"smtp": server.submissions})
    auth_service.route("/starttls", {"smtp": server.smtp})
    auth_service.route("/starttls/submission", {"smtp": server.submission})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def exim(
    folder: Path,
    mail: Path,
    accounts: list[Account],
    awkward_account: Account,
    backend_ports: Ports,
    auth_service: AuthService,
) -> Iterator[Exim]:
    ports = {name: backend_ports[f"exim_{name}"] for name in ("smtp", "submission", "smtp_haproxy")}
    try:
        server = Exim(folder / "exim", mail, [*accounts, awkward_account], ports)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    auth_service.route("/without_xclient", {"smtp": server.smtp})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def authority(folder: Path) -> CertificateAuthority:
    path = folder / "certificates"
    path.mkdir()
    return CertificateAuthority(path)


@pytest.fixture(scope="session")
def proxy(folder: Path, authority: CertificateAuthority, auth_service: AuthService) -> Iterator[Proxy]:
    names = ("localhost", "127.0.0.1")
    rsa = authority.issue_server("rsa", rsa_key(), names)
    ecdsa = authority.issue_server("ecdsa", ecdsa_key(), names)
    values: dict[str, object] = {
        "auth_service": auth_service.port,
        "rsa_certificate": rsa.certificate,
        "rsa_key": rsa.key,
        "ecdsa_certificate": ecdsa.certificate,
        "ecdsa_key": ecdsa.key,
    }
    path = folder / "proxy"
    path.mkdir(mode=0o755)
    try:
        server = Proxy(path, CONFIGURATION, values)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority)


@pytest.fixture
def programs(proxy: Proxy, authority: CertificateAuthority, folder: Path) -> Programs:
    return Programs(proxy, authority.path, Path(tempfile.mkdtemp(dir=folder)))


@pytest.fixture(scope="session")
def demanding_dovecot(dovecots: Dovecots, accounts: list[Account], auth_service: AuthService) -> Iterator[Dovecot]:
    """One where nobody logs in without a certificate of `authority`."""
    with dovecots.running("demanding", accounts, demanding=True) as server:
        auth_service.route("/on/demanding", {"imap": server.imaps})
        auth_service.route("/starttls/demanding", {"imap": server.imap})
        yield server


@pytest.fixture(scope="session", params=backend_tls.MODES, ids=str)
def tls_proxy(
    request: pytest.FixtureRequest,
    folder: Path,
    authority: CertificateAuthority,
    backend_certificates: BackendCertificates,
    auth_service: AuthService,
) -> Iterator[Proxy]:
    """A proxy that speaks TLS to its backends."""
    if is_oracle():
        pytest.skip("nginx has no TLS to backends of mail")
    mode: backend_tls.Mode = request.param
    if mode.sandbox == "on" and not sandbox.is_supported():
        pytest.skip("no such fence here")
    server_certificate = authority.issue_server(f"proxy-{mode}", ecdsa_key(), ("localhost", "127.0.0.1"))
    client_certificate = authority.issue_client(f"client-{mode}", ecdsa_key(), "proxy.example.test")
    path = folder / f"proxy-{mode}"
    path.mkdir(mode=0o755)
    values: dict[str, object] = {
        "worker_sandbox": mode.sandbox,
        "proxy_ssl": mode.proxy_ssl,
        "auth_service": auth_service.port,
        "certificate": server_certificate.certificate,
        "key": server_certificate.key,
        "client_certificate": client_certificate.certificate,
        "client_key": client_certificate.key,
        "backend_name": BACKEND_NAME,
        "authority": authority.path,
        "stranger": CertificateAuthority(path, "Stranger").path,
        "revocation_list": authority.issue_revocation_list(f"{mode}.crl", backend_certificates.by_name),
    }
    with running(path, backend_tls.CONFIGURATION, values) as server:
        yield server


@pytest.fixture(scope="session")
def tls_clients(tls_proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(tls_proxy, authority)


@pytest.fixture(scope="session")
def foreign_account(mail: Path) -> Account:
    """Its password is UTF-8, with what is special to some protocol. `trusting` alone knows it."""
    return create_account(mail, "foreign", 'pässwörd "☃" %5C\\ {3}')


@pytest.fixture(scope="session")
def submission(backend_ports: Ports) -> Address:
    """Dovecot's."""
    return ("127.0.0.1", backend_ports["trusting_submission"])


@pytest.fixture(scope="session")
def trusting(
    folder: Path,
    dovecots: Dovecots,
    accounts: list[Account],
    lengthy_account: Account,
    foreign_account: Account,
    submission: Address,
    postfix: Postfix,
) -> Iterator[Dovecot]:
    """A Dovecot that believes everybody of this machine; `identity.MASTER` may act for each user."""
    masters = folder / "masters"
    masters.write_text(":".join(identity.MASTER) + "\n")
    values = {"MASTERS": masters, "SUBMISSION": submission[1], "RELAY": postfix.smtp[1]}
    more = identity.DOVECOT
    for name, value in values.items():
        more = more.replace(name, str(value))
    with dovecots.running("trusting", [*accounts, lengthy_account, foreign_account], more) as server:
        yield server


@pytest.fixture(scope="session")
def identity_proxy(
    folder: Path,
    authority: CertificateAuthority,
    trusting: Dovecot,
    postfix: Postfix,
    auth_service: AuthService,
) -> Iterator[Proxy]:
    certificate = authority.issue_server("identity", ecdsa_key(), ("localhost", "127.0.0.1", "mail.example.test"))
    backends = {"imap": trusting.imap, "pop3": trusting.pop3, "smtp": postfix.submission, "sieve": trusting.sieve}
    auth_service.route("/identity", backends)
    path = folder / "identity"
    values: dict[str, object] = {
        "auth_service": auth_service.port,
        "certificate": certificate.certificate,
        "key": certificate.key,
        # nginx's variables in the page are not this test's
        "session_id": "$session_id",
        "imap_id_name": "$imap_id_name",
    }
    with running(path, identity.configuration(), values) as server:
        yield server


@pytest.fixture(scope="session")
def identity_clients(identity_proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(identity_proxy, authority)
