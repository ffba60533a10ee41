"""OpenSSL's error queue, and how OpenSSL's functions are called apart from a connection's steps."""

from __future__ import annotations

from typing import Any

from mailworker.errors import MailworkerError
from mailworker.native.tls._native import ffi, lib

# OpenSSL's longest texts have some 120 bytes; ERR_error_string() asks for 256.
_TEXT_SIZE = 256


class OpenSslError(MailworkerError):
    """OpenSSL's function `call` failed; `reasons` is the error queue, oldest first, as nginx prints it."""

    def __init__(self, call: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"{call}() failed")
        self.call = call
        self.reasons = reasons


def take_reasons() -> tuple[str, ...]:
    """Empty the error queue; returns texts "error:CODE:LIBRARY::REASON", with ":DATA" if OpenSSL has data."""
    data, flags = ffi.new("char const **"), ffi.new("int *")
    text = ffi.new("char[]", _TEXT_SIZE)
    reasons = []
    while code := lib.ERR_peek_error_data(data, flags):
        lib.ERR_error_string_n(code, text, _TEXT_SIZE)
        reason = ffi.string(text)
        if flags[0] & lib.ERR_TXT_STRING and data[0] != ffi.NULL and (detail := ffi.string(data[0])):
            reason = b"%b:%b" % (reason, detail)
        reasons.append(reason.decode(errors="backslashreplace"))
        lib.ERR_get_error()
    return tuple(reasons)


def checked(call: str, *arguments: object) -> Any:
    """Clear the error queue and call OpenSSL's function `call`.

    Raises OpenSslError if the result is 0, negative or NULL, by which most of OpenSSL's functions report a failure.
    """
    lib.ERR_clear_error()
    result = getattr(lib, call)(*arguments)
    if not result or (isinstance(result, int) and result < 0):
        raise OpenSslError(call, take_reasons())
    return result
