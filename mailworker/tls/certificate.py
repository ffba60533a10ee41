"""Checks of certificates for faults that OpenSSL and nginx do not report, for `-t`.

Only this module imports cryptography and pyOpenSSL, which bring an OpenSSL of their own.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from ssl import get_default_verify_paths

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from OpenSSL import crypto

from mailworker.config.settings import MailServer
from mailworker.config.ssl_files import shown
from mailworker.errors import counted, escape
from mailworker.tls.folder import notice

# Days before the end of a certificate within which it should have been renewed.
_NOTICE = 30
# The smallest keys that NIST SP 800-57 (part 1, table 2) allows: 112 bits of security.
_LEAST_BITS = 2048
_LEAST_CURVE_BITS = 224
# Debian 12's cryptography (38) loads only one certificate at a time.
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, ..._LOCALLY and UNABLE_TO_VERIFY_LEAF_SIGNATURE.
_NO_ISSUER = (2, 20, 21)


def check_servers(servers: Iterable[MailServer], now: datetime | None = None) -> list[str]:
    """Warnings about all certificates of `servers`, each once; `now` None is the present time."""
    examiner = _Examiner(datetime.now(timezone.utc) if now is None else now)
    uses: dict[tuple[str, bytes | None], None] = {}  # a certificate, and its server's name or None for backends
    for server in servers:
        if server.ssl is not None:
            uses.update(dict.fromkeys((source, server.server_name) for source in server.ssl.certificates))
        if server.proxy.ssl is not None and server.proxy.ssl.certificate is not None:
            uses[server.proxy.ssl.certificate, None] = None
    return list(dict.fromkeys(warning for use in uses for warning in examiner.warnings(*use)))


@dataclass(frozen=True, slots=True)
class _Findings:
    """The faults in a certificate file, and the names of its certificate."""

    of_leaf: tuple[str, ...]
    of_chain: tuple[str, ...]
    names: tuple[str, ...]


class _Examiner:
    """Examines each file once, however many servers use it."""

    __slots__ = ("_examined", "_now", "_roots")

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._roots = _known_roots()
        self._examined: dict[str, _Findings | str] = {}

    def warnings(self, source: str, server_name: bytes | None) -> Iterator[str]:
        """Warnings about a file. `server_name` None: it is for backends, whose requirements are unknown."""
        found = self._findings(source)
        faults = [found] if isinstance(found, str) else _faults(found, server_name)
        yield from (f'certificate "{shown(source)}" {fault}' for fault in faults)

    def _findings(self, source: str) -> _Findings | str:
        if source not in self._examined:
            try:
                self._examined[source] = self._examine(source)
            except (OSError, ValueError, crypto.Error) as error:
                self._examined[source] = f"could not be checked: {error}"
        return self._examined[source]

    def _examine(self, source: str) -> _Findings:
        chain = [x509.load_pem_x509_certificate(text) for text in _CERTIFICATE.findall(_pem(source))]
        if not chain:
            raise ValueError("it contains no certificate")
        return _Findings(
            tuple(_faults_of_leaf(chain[0], self._now)),
            tuple(_faults_of_chain(chain, self._roots)),
            tuple(_alternative_names(chain[0])),
        )


def _pem(source: str) -> bytes:
    if source.startswith("data:"):
        return source.removeprefix("data:").encode()
    return Path(source).read_bytes()


def _faults(found: _Findings, server_name: bytes | None) -> Iterator[str]:
    yield from found.of_leaf
    if server_name is None:
        return
    yield from found.of_chain
    name, host = server_name.decode("latin-1"), socket.gethostname().lower()  # the default of `server_name`
    if not found.names:
        yield "has no subject alternative name"
    elif not any(_matches(pattern, name) for pattern in found.names):
        hint = ', the name of this host: set the one that clients use by "server_name"' if name == host else ""
        yield f'does not name the server "{escape(server_name)}"{hint}'


def _faults_of_chain(chain: list[x509.Certificate], roots: crypto.X509Store) -> Iterator[str]:
    if _lacks_issuer(chain, roots):
        issuer = escape(chain[-1].issuer.rfc4514_string())
        yield f'has no complete chain: its issuer "{issuer}" is neither in the file nor a known root'


def _faults_of_leaf(leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    readable = crypto.X509.from_cryptography(leaf)  # as older versions of cryptography give times without a zone
    begins, ends = _time(readable.get_notBefore()), _time(readable.get_notAfter())
    if now < begins:
        yield f"is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    if now > ends:
        yield f"has expired on {ends:%Y-%m-%d %H:%M} UTC"
    elif (ends - now).total_seconds() < notice(begins.timestamp(), ends.timestamp(), _NOTICE):
        yield f"expires on {ends:%Y-%m-%d %H:%M} UTC, in {counted((ends - now).days, 'day')}"
    yield from _key_faults(leaf)


def _time(text: bytes | None) -> datetime:
    """A time in the format of ASN.1: 20260131120000Z."""
    if text is None:
        raise ValueError("it has no validity period")
    return datetime.strptime(text.decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _key_faults(leaf: x509.Certificate) -> Iterator[str]:
    key = leaf.public_key()
    if isinstance(key, EllipticCurvePublicKey):
        weak = key.key_size < _LEAST_CURVE_BITS
    elif isinstance(key, RSAPublicKey | DSAPublicKey):
        weak = key.key_size < _LEAST_BITS
    else:
        return  # other kinds of keys have one size, which is strong
    if weak:
        yield f"has a weak key of {key.key_size} bits"


def _known_roots() -> crypto.X509Store:
    """The root certificates of this system."""
    roots = crypto.X509Store()
    paths = get_default_verify_paths()
    if paths.cafile or paths.capath:
        roots.load_locations(paths.cafile, paths.capath)
    return roots


def _lacks_issuer(chain: list[x509.Certificate], roots: crypto.X509Store) -> bool:
    """Whether a client that knows `roots` cannot build the chain; other faults are ignored."""
    leaf, *others = [crypto.X509.from_cryptography(certificate) for certificate in chain]
    try:
        crypto.X509StoreContext(roots, leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return error.errors[0] in _NO_ISSUER
    return False


def _alternative_names(leaf: x509.Certificate) -> list[str]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = extension.value
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _matches(pattern: str, name: str) -> bool:
    """Whether `pattern` matches; an asterisk matches one whole label, the first (RFC 6125 section 6.4.3)."""
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name
