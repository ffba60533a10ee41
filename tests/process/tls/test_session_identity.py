"""Every setting that has a say in whom a server trusts: no session leads from one value of it to another.

The real contexts and zones of a configuration, without a process around them.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailworker.config.session_cache import SessionCache
from mailworker.config.ssl import SslSettings
from mailworker.config.zones import SharedZone
from mailworker.model import VerifyClient
from mailworker.process.tls_contexts import TlsContexts
from mailworker.shm.zones import Zones
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate, CertificateAuthority
from tests.support.recorded_log import RecordedLog
from tests.support.settings import ssl_settings
from tests.tls.peers import Pair, client_context

ZONE = SharedZone("SSL", 1 << 18, "ssl_session_cache")
Changes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Files:
    """What settings name."""

    folder: Path
    ecdsa: Certificate
    rsa: Certificate
    authority: CertificateAuthority
    other: CertificateAuthority
    client: Certificate

    @property
    def vouching(self) -> tuple[str, str]:
        """The command that trusts the authority."""
        return "VerifyCAFile", str(self.authority.path)

    @property
    def both(self) -> str:
        """Two authorities in a file."""
        path = self.folder / "both.crt"
        path.write_bytes(self.authority.path.read_bytes() + self.other.path.read_bytes())
        return str(path)

    @property
    def rejected(self) -> str:
        """The authority, which may not vouch for clients."""
        path = self.folder / "rejected.crt"
        command = ["openssl", "x509", "-in", str(self.authority.path), "-trustout", "-addreject", "clientAuth"]
        subprocess.run([*command, "-out", str(path)], check=True, capture_output=True)
        return str(path)

    def revoking(self, *revoked: Certificate) -> str:
        return str(self.authority.issue_revocation_list(f"{len(revoked)}.crl", *revoked))

    def authorities(self, *paths: Path) -> str:
        """A folder of those, by the names that OpenSSL looks for."""
        folder = self.folder / f"authorities of {len(paths)}"
        folder.mkdir(exist_ok=True)
        for number, path in enumerate(paths):
            (folder / f"0000000{number}.0").write_bytes(path.read_bytes())
        return str(folder)


# A setting, and two values of it: `verify_client on` and the authority are everybody's.
SETTINGS: dict[str, Callable[[Files], tuple[Changes, Changes]]] = {
    "no verification": lambda files: ({"verify_client": VerifyClient.OFF}, {}),
    "optional": lambda files: ({"verify_client": VerifyClient.OPTIONAL}, {}),
    "optional_no_ca": lambda files: ({"verify_client": VerifyClient.OPTIONAL_NO_CA}, {}),
    "depth": lambda files: ({"verify_depth": 2}, {"verify_depth": 1}),
    "no depth": lambda files: ({"verify_depth": 1}, {"verify_depth": 0}),
    "client authority": lambda files: ({}, {"client_certificate": str(files.other.path)}),
    "one client authority more": lambda files: ({}, {"client_certificate": files.both}),
    "use of a client authority": lambda files: ({}, {"client_certificate": files.rejected}),
    "trusted authority": lambda files: ({}, {"trusted_certificate": str(files.other.path)}),
    "one trusted authority more": lambda files: (
        {"trusted_certificate": str(files.other.path)},
        {"trusted_certificate": files.both},
    ),
    "use of a trusted authority": lambda files: (
        {"trusted_certificate": str(files.authority.path)},
        {"trusted_certificate": files.rejected},
    ),
    "client and trusted": lambda files: (
        {"trusted_certificate": str(files.other.path)},
        {"client_certificate": str(files.other.path), "trusted_certificate": str(files.authority.path)},
    ),
    "revocation": lambda files: ({}, {"crl": files.revoking()}),
    "another revocation": lambda files: ({"crl": files.revoking()}, {"crl": files.revoking(files.client)}),
    "security level": lambda files: ({"ciphers": "DEFAULT@SECLEVEL=1"}, {"ciphers": "DEFAULT@SECLEVEL=2"}),
    "ciphers": lambda files: ({"ciphers": "ALL"}, {"ciphers": "ECDHE+AESGCM"}),
    "certificate": lambda files: (
        {},
        {"certificates": (str(files.rsa.certificate),), "certificate_keys": (str(files.rsa.key),)},
    ),
    "command": lambda files: ({}, {"conf_commands": (("CipherString", "DEFAULT@SECLEVEL=2"),)}),
    "verification by command": lambda files: (
        {"verify_client": VerifyClient.OFF, "conf_commands": (files.vouching,)},
        {"verify_client": VerifyClient.OFF, "conf_commands": (files.vouching, ("VerifyMode", "Request"))},
    ),
    "authority by command": lambda files: (
        {"conf_commands": (("VerifyCAFile", str(files.other.path)),)},
        {"conf_commands": (("VerifyCAFile", files.both),)},
    ),
    "authorities by command": lambda files: (
        {"conf_commands": (("VerifyCAPath", files.authorities(files.other.path)),)},
        {"conf_commands": (("VerifyCAPath", files.authorities(files.other.path, files.authority.path)),)},
    ),
}

TICKETS = pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "id"])


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory,
    ecdsa: Certificate,
    rsa: Certificate,
    authority: CertificateAuthority,
    client_certificate: Certificate,
) -> Files:
    folder = tmp_path_factory.mktemp("files")
    other = CertificateAuthority(tmp_path_factory.mktemp("other"), "Another authority")
    return Files(folder, ecdsa, rsa, authority, other, client_certificate)


class Configurations:
    """One that is loaded, and its successors: zones go on."""

    def __init__(self) -> None:
        self._zones: Zones | None = None

    def load(self, *servers: SslSettings) -> list[TlsContext]:
        contexts = TlsContexts(Path("/nonexistent"), RecordedLog().log.write)
        for settings in servers:
            contexts.add(settings, None, "imap")
        self._zones = Zones([ZONE], self._zones)
        for keys, lifetime in contexts.share(self._zones).items():
            keys.rotate(1.0, lifetime)
        return [tls.clients for tls in contexts if tls.clients is not None]


class Client:
    """Shows its certificate to whoever asks, and keeps its sessions by where they are from."""

    def __init__(self, version: ssl.TLSVersion, certificate: Certificate) -> None:
        self._context = client_context(certificate=certificate)
        self._context.minimum_version = self._context.maximum_version = version

    def visit(self, server: TlsContext, session: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession, bool]:
        """The session that may be resumed later, and whether one was."""
        with closing(Pair(server, self._context, session)) as pair:
            pair.shake_hands().to_client(b"* OK ready\r\n")
            assert pair.client.session is not None
            assert pair.server.reused is pair.client.session_reused
            return pair.client.session, pair.server.reused


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
def client(request: pytest.FixtureRequest, client_certificate: Certificate) -> Client:
    return Client(request.param, client_certificate)


def settings_of(files: Files, changes: Changes, *, tickets: bool) -> SslSettings:
    common: Changes = {
        "verify_client": VerifyClient.ON,
        "client_certificate": str(files.authority.path),
        "session_cache": SessionCache(shared=ZONE),
        "session_tickets": tickets,
    }
    return ssl_settings(files.ecdsa, **(common | changes))


@TICKETS
@pytest.mark.parametrize("name", SETTINGS)
def test_a_session_leads_neither_to_other_servers_nor_past_a_reload(
    client: Client, files: Files, name: str, tickets: bool
) -> None:
    one, other = (settings_of(files, changes, tickets=tickets) for changes in SETTINGS[name](files))
    for first, second in ((one, other), (other, one)):
        configurations = Configurations()
        home, neighbour = configurations.load(first, second)
        session, _ = client.visit(home)
        assert not client.visit(neighbour, session)[1]
        (changed,) = configurations.load(second)
        assert not client.visit(changed, session)[1]


@TICKETS
@pytest.mark.parametrize("name", SETTINGS)
def test_under_unchanged_settings_a_session_is_resumed_by_all_equal_servers_and_after_a_reload(
    client: Client, files: Files, name: str, tickets: bool
) -> None:
    for changes in SETTINGS[name](files):
        configurations = Configurations()
        settings = settings_of(files, changes, tickets=tickets)
        # equal in all but what no trust depends on
        home, neighbour = configurations.load(settings, settings_of(files, changes | ELSEWHERE, tickets=tickets))
        assert home is not neighbour
        session, _ = client.visit(home)
        assert client.visit(home, session)[1]
        assert client.visit(neighbour, session)[1]
        (again,) = configurations.load(settings)
        assert client.visit(again, session)[1]


ELSEWHERE: Changes = {"session_timeout": 600, "prefer_server_ciphers": True}


@TICKETS
def test_the_same_name_for_another_file_is_another_setting(
    client: Client, files: Files, tmp_path: Path, tickets: bool
) -> None:
    path = tmp_path / "authority.crt"
    for changes in (
        {"client_certificate": str(path)},
        {"trusted_certificate": str(path)},
        {"conf_commands": (("VerifyCAFile", str(path)),)},
    ):
        path.write_bytes(files.authority.path.read_bytes())
        configurations = Configurations()
        settings = settings_of(files, changes, tickets=tickets)
        session, _ = client.visit(configurations.load(settings)[0])
        assert client.visit(configurations.load(settings)[0], session)[1]
        path.write_bytes(files.other.path.read_bytes())
        assert not client.visit(configurations.load(settings)[0], session)[1]
