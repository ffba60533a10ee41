"""What is wrong with a certificate that OpenSSL loads without complaint; nginx finds none of it.

cryptography and pyOpenSSL, which bring an OpenSSL of their own, are imported by this module alone: only `-t` needs it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from ssl import get_default_verify_paths

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from OpenSSL import crypto

from mailworker.config.proxy_ssl_settings import ProxySslSettings
from mailworker.config.settings import MailServer, SslSettings
from mailworker.config.ssl_files import shown
from mailworker.errors import escape

# So long before its end a certificate should have been renewed.
_NOTICE = timedelta(days=30)
# The least bits that NIST SP 800-57 (part 1, table 2) allows, those of 112 bits of security.
_LEAST_BITS = 2048
_LEAST_CURVE_BITS = 224
# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, ..._LOCALLY and UNABLE_TO_VERIFY_LEAF_SIGNATURE.
_NO_ISSUER = (2, 20, 21)
# What certificates and keys may be instead of files.
_NO_FILES = ("data:", "engine:", "store:")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_servers(servers: Iterable[MailServer], now: datetime | None = None) -> list[str]:
    """Warnings about all certificates and keys that `servers` use, each once; `now` None is the present."""
    at = datetime.now(timezone.utc) if now is None else now
    warnings: dict[str, None] = {}
    for server in servers:
        if server.ssl is not None:
            warnings.update(dict.fromkeys(_check(server.ssl, server.server_name.decode("latin-1"), at)))
        if server.proxy.ssl is not None:
            warnings.update(dict.fromkeys(_check_proxy(server.proxy.ssl, at)))
    return list(warnings)


def _check(settings: SslSettings, server_name: str, now: datetime) -> Iterator[str]:
    for source in settings.certificates:
        yield from _check_certificate(source, lambda chain: _faults(chain, server_name, now))
    for source in settings.certificate_keys:
        yield from _check_key(source)


def _check_proxy(settings: ProxySslSettings, now: datetime) -> Iterator[str]:
    """The certificate that backends get: whose names and authorities they want is theirs to know."""
    if settings.certificate is not None:
        yield from _check_certificate(settings.certificate, lambda chain: _faults_of_leaf(chain[0], now))
    if settings.certificate_key is not None:
        yield from _check_key(settings.certificate_key)


def _check_certificate(source: str, find: Callable[[list[x509.Certificate]], Iterator[str]]) -> Iterator[str]:
    try:
        chain = x509.load_pem_x509_certificates(_pem(source))
        yield from (f'certificate "{shown(source)}" {fault}' for fault in find(chain))
    except (OSError, ValueError, crypto.Error) as error:
        yield f'certificate "{shown(source)}" could not be checked: {error}'


def _pem(source: str) -> bytes:
    if source.startswith("data:"):
        return source.removeprefix("data:").encode()
    return Path(source).read_bytes()


def _check_key(source: str) -> Iterator[str]:
    if source.startswith(_NO_FILES):
        return
    path = Path(source)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield f'certificate key "{path}" could not be checked: {error.strerror}'
        return
    if stat.S_ISREG(mode) and mode & _OTHERS:
        yield f'certificate key "{path}" is open to others than its owner (mode {stat.S_IMODE(mode):04o})'


def _faults(chain: list[x509.Certificate], server_name: str, now: datetime) -> Iterator[str]:
    leaf = chain[0]
    yield from _faults_of_leaf(leaf, now)
    if _lacks_issuer(chain):
        yield f'has no complete chain: its issuer "{_name(chain[-1].issuer)}" is neither in the file nor a known root'
    names = _alternative_names(leaf)
    if not names:
        yield "has no subject alternative name"
    elif not any(_matches(name, server_name) for name in names):
        yield f'does not name the server "{escape(server_name)}"'


def _faults_of_leaf(leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begins:
        yield f"is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    if now > ends:
        yield f"has expired on {ends:%Y-%m-%d %H:%M} UTC"
    elif now + _NOTICE > ends:
        yield f"expires on {ends:%Y-%m-%d %H:%M} UTC, in {(ends - now).days} days"
    yield from _key_faults(leaf)


def _key_faults(leaf: x509.Certificate) -> Iterator[str]:
    key = leaf.public_key()
    if isinstance(key, EllipticCurvePublicKey):
        weak = key.key_size < _LEAST_CURVE_BITS
    elif isinstance(key, RSAPublicKey | DSAPublicKey):
        weak = key.key_size < _LEAST_BITS
    else:
        return  # the others have one size, which is good
    if weak:
        yield f"has a weak key of {key.key_size} bits"


def _lacks_issuer(chain: list[x509.Certificate]) -> bool:
    """Whether a client that knows this system's roots cannot build the chain; other faults do not matter here."""
    store = crypto.X509Store()
    paths = get_default_verify_paths()
    if paths.cafile or paths.capath:
        store.load_locations(paths.cafile, paths.capath)
    leaf, *others = [crypto.X509.from_cryptography(certificate) for certificate in chain]
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return error.errors[0] in _NO_ISSUER
    return False


def _alternative_names(leaf: x509.Certificate) -> list[str]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [*extension.value.get_values_for_type(x509.DNSName), *_addresses(extension.value)]


def _addresses(names: x509.SubjectAlternativeName) -> list[str]:
    return [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def _matches(pattern: str, name: str) -> bool:
    """RFC 6125 (section 6.4.3): an asterisk stands for the whole first label."""
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def _name(name: x509.Name) -> str:
    return escape(name.rfc4514_string())
