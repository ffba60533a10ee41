"""A certificate with its key, ready to be shown by connections of any context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.key import Key
from mailworker.native.tls.queue import OpenSslError, checked, take_reasons

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData


class Pair:
    """A certificate, its key, and the intermediates that are sent after it.

    Certificates of the chain may be shared by many pairs.
    """

    __slots__ = ("_chain", "key", "leaf")

    def __init__(self, leaf: Certificate, key: Key, chain: Sequence[Certificate]) -> None:
        """Raises OpenSslError where the key is another certificate's."""
        checked("X509_check_private_key", leaf.pointer, key.pointer)
        self.leaf = leaf
        self.key = key
        self._chain: CData = ffi.NULL
        if chain:
            self._chain = ffi.gc(checked("chain_new"), lib.chain_free)
        for certificate in chain:
            if not lib.chain_add(self._chain, certificate.pointer):
                raise OpenSslError("sk_X509_push", take_reasons())

    @property
    def pointers(self) -> tuple[CData, CData, CData]:
        """For C."""
        return self.leaf.pointer, self.key.pointer, self._chain
