"""Loading certificates, keys, authorities and commands into contexts, with nginx's errors."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailworker.config.ssl_files import shown
from mailworker.errors import ConfigError
from mailworker.native.tls.certificate import Certificate, RevocationList, load_certificates, load_revocation_lists
from mailworker.native.tls.conf import ConfCommands
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import Key, NotSupported, engine_key, store_key
from mailworker.native.tls.key import load_key as load_pem_key
from mailworker.native.tls.pair import matches
from mailworker.native.tls.queue import OpenSslError
from mailworker.native.tls.version import running_with

_ENGINE = "engine:"
_STORE = "store:"

# Groups of ML-KEM, alone or as a hybrid with a curve.
_POST_QUANTUM = re.compile(r"\b[A-Za-z0-9_]*ML-?KEM[0-9]+\b", re.IGNORECASE)


def _because(error: OpenSslError) -> str:
    return f" (SSL: {' '.join(error.reasons)})" if error.reasons else ""


@contextmanager
def failure(*values: str) -> Iterator[None]:
    """Raise ConfigError for an OpenSslError, with the name of the call, and `values` as its arguments."""
    try:
        yield
    except OpenSslError as error:
        values_shown = ", ".join(f'"{shown(value)}"' for value in values)
        raise ConfigError(f"{error.call}({values_shown}) failed{_because(error)}") from None


@contextmanager
def failure_to_load(what: str, source: str) -> Iterator[None]:
    """As `failure`, with the name of what cannot be loaded."""
    try:
        yield
    except OpenSslError as error:
        raise ConfigError(f'cannot load {what} "{shown(source)}": {error.call}() failed{_because(error)}') from None


def load_key(source: str, passwords: Sequence[bytes] | None) -> Key:
    """The private key from a file, a "data:" value, an engine or a store."""
    if source.startswith(_ENGINE):
        return _load_engine_key(source)
    with failure_to_load("certificate key", source):
        if source.startswith(_STORE):
            return store_key(source[len(_STORE) :], passwords)
        return load_pem_key(source, passwords)


def _load_engine_key(source: str) -> Key:
    engine, separator, key = source[len(_ENGINE) :].partition(":")
    if not separator:
        raise ConfigError(f'cannot load certificate key "{source}": invalid syntax')
    try:
        with failure_to_load("certificate key", _ENGINE + engine):
            return engine_key(engine, key)
    except NotSupported:
        raise ConfigError('loading "engine:..." certificate keys is not supported') from None


def authorities(source: str | None) -> tuple[Certificate, ...]:
    """The certificates in a file; none without a file."""
    if not source:
        return ()
    with failure_to_load("certificate", source):
        return load_certificates(source)


def use_certificate(
    native: Context, certificate: str, key: str, passwords: Sequence[bytes] | None
) -> tuple[Certificate, Key]:
    """Use a certificate with its chain and key; returns the certificate and the key."""
    with failure_to_load("certificate", certificate):
        leaf, *chain = load_certificates(certificate)
    with failure(certificate):
        native.use_certificate(leaf, chain)
    loaded = load_key(key, passwords)
    with failure(key):
        native.use_key(loaded)
    return leaf, loaded


def keyless(sources: Iterable[str], pairs: Sequence[tuple[Certificate, Key]]) -> tuple[str, ...]:
    """Warnings about certificates without a matching key; `sources` are their names.

    OpenSSL refuses a wrong key only if it is of the certificate's type. With a key of another type, the certificate is
    never used, and there is no error.
    """
    keys = [key for _, key in pairs]
    return tuple(
        f'certificate "{shown(source)}" has none of the given keys, so no handshake can use it'
        for source, (leaf, _) in zip(sources, pairs, strict=False)
        if not any(matches(leaf, key) for key in keys)
    )


def trust(native: Context, source: str | None) -> tuple[Certificate, ...]:
    """Trust the certificates in a file; returns them."""
    trusted = authorities(source)
    for authority in trusted:
        with failure(source or ""):
            native.trust(authority)
    return trusted


def revoke(native: Context, source: str | None) -> tuple[RevocationList, ...]:
    """Use the revocation lists in a file; returns them."""
    if not source:
        return ()
    with failure_to_load("CRL", source):
        lists = load_revocation_lists(source)
    for revoked in lists:
        with failure(source):
            native.revoke(revoked)
    return lists


def set_groups(native: Context, groups: str) -> None:
    """Set the groups for key exchange; `auto` is OpenSSL's default. An error names a group that OpenSSL lacks."""
    if groups == "auto":
        return
    try:
        with failure(groups):
            native.set_curves(groups)
    except ConfigError as error:
        lacking = [name for name in _POST_QUANTUM.findall(groups) if not _has_group(name)]
        if not lacking:
            raise
        reason = f'"{lacking[0]}" needs OpenSSL 3.5 or later, this is {running_with()}'
        raise ConfigError(f"{error}: {reason}") from None


def _has_group(name: str) -> bool:
    try:
        Context().set_curves(name)
    except OpenSslError:
        return False
    return True


def run_conf_commands(
    native: Context, conf_commands: Sequence[tuple[str, str]], conf_prefix: Path | None
) -> list[tuple[str, str, bytes]]:
    """Apply ssl_conf_command or proxy_ssl_conf_command; for `conf_prefix` see `TlsContext.build`.

    Returns the commands with their final values, and a hash of the file or folder that a value names.
    """
    done: list[tuple[str, str, bytes]] = []
    if not conf_commands:
        return done
    with failure(), ConfCommands(native) as commands:
        for command, value in conf_commands:
            takes_path = commands.takes_path(command)
            final = str(conf_prefix / value) if conf_prefix and takes_path else value
            with failure(command, final):
                commands.run(command, final)
            done.append((command, final, _content(Path(final)) if takes_path else b""))
    return done


def _content(path: Path) -> bytes:
    """A hash of a file, or the hashes of all files in a folder; b"" for an unreadable file, which OpenSSL reports."""
    if path.is_dir():
        return b"".join(b"%b\0%b\0" % (os.fsencode(each.name), _content(each)) for each in sorted(path.iterdir()))
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
