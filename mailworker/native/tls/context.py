"""OpenSSL's SSL_CTX, with one method for each setting that nginx makes on it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.bio import opened
from mailworker.native.tls.certificate import Certificate, RevocationList
from mailworker.native.tls.key import Key, NotSupported
from mailworker.native.tls.queue import checked
from mailworker.native.tls.ticket_keys import TicketKeys, TicketKeySource
from mailworker.native.tls.tls_session_table import TlsSessionTable

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

_VERSION_OPTIONS = {
    "SSLv3": lib.SSL_OP_NO_SSLv3,
    "TLSv1": lib.SSL_OP_NO_TLSv1,
    "TLSv1.1": lib.SSL_OP_NO_TLSv1_1,
    "TLSv1.2": lib.SSL_OP_NO_TLSv1_2,
    "TLSv1.3": lib.SSL_OP_NO_TLSv1_3,
}


class CacheLookups(NamedTuple):
    """How many look-ups of sessions in a `TlsSessionTable` have succeeded and failed."""

    hit: int
    miss: int


class Context:
    """What the connections of a server, or those of a client to its servers, have in common.

    It starts with no compression, no renegotiation, no early data and no automatic chains. A missing close_notify
    counts as a normal end, and idle connections have no buffers. Methods raise OpenSslError.
    """

    __slots__ = ("_kept", "_policy", "pointer")

    def __init__(self, *protocols: bytes, client: bool = False) -> None:
        """`protocols` are a server's names in ALPN, of which clients may choose any; none if ALPN is ignored."""
        listed = b"".join(b"%c%b" % (len(protocol), protocol) for protocol in protocols if protocol)
        self._policy = ffi.new("struct tls_policy *")
        ffi.memmove(self._policy.protocols, listed, len(listed))
        self._policy.protocols_length = len(listed)
        self._kept: list[object] = [self._policy]  # objects that C points to
        self.pointer: CData = ffi.gc(checked("context_new", self._policy, client), lib.SSL_CTX_free)

    @property
    def address(self) -> int:
        """The address of the SSL_CTX, for C outside this binding."""
        return int(ffi.cast("uintptr_t", self.pointer))

    def allow_versions(self, names: Iterable[str]) -> None:
        """Disable all protocol versions except `names`; names that the library does not know are ignored."""
        for version in _VERSION_OPTIONS.keys() - set(names):
            lib.SSL_CTX_set_options(self.pointer, _VERSION_OPTIONS[version])

    def set_ciphers(self, ciphers: str, *, prefer_own_order: bool) -> None:
        """Set the cipher list for versions up to TLS 1.2."""
        checked("SSL_CTX_set_cipher_list", self.pointer, os.fsencode(ciphers))
        if prefer_own_order:
            lib.SSL_CTX_set_options(self.pointer, lib.SSL_OP_CIPHER_SERVER_PREFERENCE)

    def use_certificate(self, leaf: Certificate, chain: Sequence[Certificate]) -> None:
        """Set the certificate for its type of key, with the intermediates that are sent after it."""
        checked("SSL_CTX_use_certificate", self.pointer, leaf.pointer)
        lib.SSL_CTX_clear_chain_certs(self.pointer)
        for intermediate in chain:
            checked("SSL_CTX_add1_chain_cert", self.pointer, intermediate.pointer)

    def use_key(self, key: Key) -> None:
        """Set the key of the certificate with this type of key."""
        checked("SSL_CTX_use_PrivateKey", self.pointer, key.pointer)

    def compress_certificates(self, *, on: bool) -> None:
        """Switch certificate compression (RFC 8879); raises NotSupported if it is `on` and the library lacks it."""
        if not on:
            lib.SSL_CTX_set_options(self.pointer, lib.SSL_OP_NO_TX_CERTIFICATE_COMPRESSION)
        elif lib.SSL_OP_NO_TX_CERTIFICATE_COMPRESSION:
            checked("SSL_CTX_compress_certs", self.pointer, 0)
        else:
            raise NotSupported("this OpenSSL knows no certificate compression")

    def verify_peer(self, depth: int) -> None:
        """Check the peer's certificate, which clients are asked for; the handshake goes on whatever the result is."""
        lib.context_verify_peer(self.pointer, depth)

    def trust(self, authority: Certificate) -> None:
        """Trust `authority` as the end of chains."""
        checked("X509_STORE_add_cert", lib.SSL_CTX_get_cert_store(self.pointer), authority.pointer)

    def name_authority(self, authority: Certificate) -> None:
        """Name `authority` to clients that are asked for a certificate."""
        checked("SSL_CTX_add_client_CA", self.pointer, authority.pointer)

    def revoke(self, revoked: RevocationList) -> None:
        """Check every certificate of a chain against revocation lists, this one among them."""
        store = lib.SSL_CTX_get_cert_store(self.pointer)
        checked("X509_STORE_add_crl", store, revoked.pointer)
        checked("X509_STORE_set_flags", store, lib.X509_V_FLAG_CRL_CHECK | lib.X509_V_FLAG_CRL_CHECK_ALL)

    def set_dh_parameters(self, path: str) -> None:
        """Set the group for finite field Diffie-Hellman, from a PEM file."""
        with opened(path) as bio:
            parameters = checked("PEM_read_bio_DHparams", bio, ffi.NULL, ffi.NULL, ffi.NULL)
        checked("SSL_CTX_set_tmp_dh", self.pointer, ffi.gc(parameters, lib.DH_free))

    def set_curves(self, curves: str) -> None:
        """Set the groups for key exchange, in order of preference, separated by colons."""
        checked("SSL_CTX_set1_curves_list", self.pointer, os.fsencode(curves))

    def set_session_identity(self, identity: bytes, timeout: int) -> None:
        """Set the session id context `identity` (at most 32 bytes), and for how many seconds sessions may resume."""
        checked("SSL_CTX_set_session_id_context", self.pointer, identity, len(identity))
        lib.SSL_CTX_set_timeout(self.pointer, timeout)

    def refuse_sessions(self) -> None:
        """Give no session ids."""
        lib.SSL_CTX_set_session_cache_mode(self.pointer, lib.SSL_SESS_CACHE_OFF)

    def pretend_sessions(self) -> None:
        """Give session ids, which some clients insist on, but store nothing."""
        mode = lib.SSL_SESS_CACHE_SERVER | lib.SSL_SESS_CACHE_NO_AUTO_CLEAR | lib.SSL_SESS_CACHE_NO_INTERNAL_STORE
        lib.SSL_CTX_set_session_cache_mode(self.pointer, mode)
        lib.SSL_CTX_sess_set_cache_size(self.pointer, 1)

    def cache_sessions(self, builtin: int | None) -> None:
        """Give session ids and keep up to `builtin` sessions in this process, none for None."""
        mode = lib.SSL_SESS_CACHE_SERVER
        if builtin is None:
            mode |= lib.SSL_SESS_CACHE_NO_INTERNAL
        else:
            lib.SSL_CTX_sess_set_cache_size(self.pointer, builtin)
        lib.SSL_CTX_set_session_cache_mode(self.pointer, mode)

    def use_tls_session_table(self, table: TlsSessionTable) -> None:
        """Store all sessions in `table`, and look there for those that this process does not have."""
        self._policy.sessions = table.pointer
        self._kept.append(table)
        lib.context_use_sessions(self.pointer)

    @property
    def lookups(self) -> CacheLookups:
        """The look-ups of this process; the master that it was forked from has none."""
        return CacheLookups(self._policy.sessions_found, self._policy.sessions_missed)

    def refuse_tickets(self) -> None:
        """Give no session tickets; in TLS 1.3, store one session in their place, where OpenSSL would store two."""
        lib.SSL_CTX_set_options(self.pointer, lib.SSL_OP_NO_TICKET)
        lib.SSL_CTX_set_num_tickets(self.pointer, 1)

    def use_ticket_keys(self, keys: Sequence[bytes]) -> None:
        """Set keys of 48 or 80 bytes in nginx's layout; the first encrypts, all decrypt."""
        ticket_keys = TicketKeys(self._policy)
        ticket_keys.set(keys)
        self._kept.append(ticket_keys)
        lib.context_use_ticket_keys(self.pointer)

    def follow_ticket_keys(self, source: TicketKeySource) -> None:
        """Use the keys that `source` has at the time when a ticket is encrypted or decrypted."""
        ticket_keys = TicketKeys(self._policy, source)
        self._policy.ticket_key_source = handle = ffi.new_handle(ticket_keys)
        self._kept.append(handle)
        lib.context_use_ticket_keys(self.pointer)

    def drop_session(self, session: CData) -> None:
        """Remove a session from all caches."""
        lib.context_drop_session(self.pointer, session)
