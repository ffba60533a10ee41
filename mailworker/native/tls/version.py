"""The versions of OpenSSL, as compiled and as loaded."""

from __future__ import annotations

from mailworker.native.tls._native import ffi, lib


def built_with() -> str:
    """The version whose headers the native code was compiled with: "OpenSSL 3.0.17 1 Jul 2025"."""
    return ffi.string(lib.OPENSSL_VERSION_TEXT).decode()


def running_with() -> str:
    """The version of the library that is loaded."""
    return ffi.string(lib.OpenSSL_version(lib.OPENSSL_VERSION)).decode()
