"""OpenSSL's own configuration commands, applied to a context."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.context import Context
from mailworker.native.tls.queue import checked

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData


class ConfCommands:
    """SSL_CONF_CTX: commands take effect one by one, some only at the end of the `with` block. Raises OpenSslError."""

    __slots__ = ("_context", "_pointer")

    def __init__(self, context: Context) -> None:
        self._context = context  # C points to it
        self._pointer: CData = ffi.gc(checked("SSL_CONF_CTX_new"), lib.SSL_CONF_CTX_free)
        # As in nginx, servers accept commands that only affect clients, and the other way round.
        flags = lib.SSL_CONF_FLAG_FILE | lib.SSL_CONF_FLAG_SERVER | lib.SSL_CONF_FLAG_CLIENT
        flags |= lib.SSL_CONF_FLAG_CERTIFICATE | lib.SSL_CONF_FLAG_SHOW_ERRORS
        lib.SSL_CONF_CTX_set_flags(self._pointer, flags)
        lib.SSL_CONF_CTX_set_ssl_ctx(self._pointer, context.pointer)

    def __enter__(self) -> ConfCommands:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None:
            checked("SSL_CONF_CTX_finish", self._pointer)

    def takes_path(self, command: str) -> bool:
        """Whether the value of `command` is a file or a folder."""
        value_type = lib.SSL_CONF_cmd_value_type(self._pointer, os.fsencode(command))
        return value_type in {lib.SSL_CONF_TYPE_FILE, lib.SSL_CONF_TYPE_DIR}

    def run(self, command: str, value: str) -> None:
        """Apply `command`."""
        checked("SSL_CONF_cmd", self._pointer, os.fsencode(command), os.fsencode(value))
