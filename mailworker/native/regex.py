"""Regular expressions by the system's PCRE2, nginx's own engine, with a bound on the cost of a match.

The library is loaded when the first expression is compiled, so a configuration without expressions does not need it.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_ubyte, c_uint32, c_void_p
from functools import lru_cache
from typing import Any, Final
from weakref import finalize

from mailworker.errors import Party, ProtocolError
from mailworker.variables.regex import BadRegex, Captures, no_engine

LONGEST_SUBJECT: Final = 512
"""Bytes: a longer subject is no name of a user, a host or an address."""

STEPS: Final = 500_000
"""The cost limit for a whole subject, in PCRE2's steps of about 10 ns; decision 23 has the figures."""

_MEMORY: Final = 1024  # KiB for backtracking

_NAMES: Final = ("libpcre2-8.so.0", "libpcre2-8.so", "libpcre2-8.dylib", "/opt/homebrew/lib/libpcre2-8.dylib")

# pcre2.h, the same since 10.0
_CASELESS, _ANCHORED = 0x00000008, 0x80000000
_INFO_ALLOPTIONS, _INFO_CAPTURECOUNT = 0, 4
_INFO_NAMECOUNT, _INFO_NAMEENTRYSIZE, _INFO_NAMETABLE = 17, 18, 19
_NO_MATCH = -1
_UNSET = 2 * sys.maxsize + 1
_LONGEST_MESSAGE = 256

# Function -> result and arguments.
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "compile": (c_void_p, c_char_p, c_size_t, c_uint32, POINTER(c_int), POINTER(c_size_t), c_void_p),
    "code_free": (None, c_void_p),
    "pattern_info": (c_int, c_void_p, c_uint32, c_void_p),
    "get_error_message": (c_int, c_int, c_char_p, c_size_t),
    "match_context_create": (c_void_p, c_void_p),
    "match_context_free": (None, c_void_p),
    "set_match_limit": (c_int, c_void_p, c_uint32),
    "set_heap_limit": (c_int, c_void_p, c_uint32),
    "match_data_create_from_pattern": (c_void_p, c_void_p, c_void_p),
    "match_data_free": (None, c_void_p),
    "match": (c_int, c_void_p, c_char_p, c_size_t, c_size_t, c_uint32, c_void_p, c_void_p),
    "get_ovector_pointer": (POINTER(c_size_t), c_void_p),
}


class Regex:
    """A compiled expression. It can be pickled to another process, which compiles it again."""

    __slots__ = (
        "__weakref__", "_anchored", "_caseless", "_code", "_context", "_data", "_library", "_pattern", "_places",
        "_places_count", "groups",
    )  # fmt: skip

    def __init__(self, pattern: bytes, caseless: bool = False) -> None:
        """Raises BadRegex."""
        library = _opened()
        if library is None:
            no_engine(pattern, caseless)
        self._pattern, self._caseless, self._library = pattern, caseless, library
        self._code = _compile(library, pattern, caseless)
        self._context = library.match_context_create(None)
        self._data = library.match_data_create_from_pattern(self._code, None)
        finalize(self, _free, library, self._code, self._context, self._data).atexit = False
        library.set_heap_limit(self._context, _MEMORY)
        self._anchored = bool(_info(library, self._code, _INFO_ALLOPTIONS) & _ANCHORED)
        self._places = library.get_ovector_pointer(self._data)
        self._places_count = 2 * (_info(library, self._code, _INFO_CAPTURECOUNT) + 1)
        self.groups = _groups(library, self._code)

    def __reduce__(self) -> tuple[type[Regex], tuple[bytes, bool]]:
        return Regex, (self._pattern, self._caseless)

    def search(self, subject: bytes) -> Captures | None:
        """See `mailworker.variables.regex.Regex.search`."""
        length, library = len(subject), self._library
        if length > LONGEST_SUBJECT:
            raise ProtocolError(Party.CLIENT, f'client sent {length} bytes, too many for regex "{self}"')
        # The limit is for each place where a match may start; an anchored expression has only one.
        library.set_match_limit(self._context, STEPS if self._anchored else STEPS // (length + 1))
        result = library.match(self._code, subject, length, 0, 0, self._data, self._context)
        if result == _NO_MATCH:
            return None
        if result < 0:
            raise ProtocolError(Party.CLIENT, f'client sent what is too hard for regex "{self}" ({result})')
        places = self._places[: self._places_count]
        return [
            None if start == _UNSET else subject[start:end]
            for start, end in zip(places[::2], places[1::2], strict=True)
        ]

    def __str__(self) -> str:
        return self._pattern.decode(errors="backslashreplace")


class _Library:
    """PCRE2's functions, under their names without prefix and suffix."""

    __slots__ = (*_SIGNATURES, "_handle")

    def __init__(self, handle: ctypes.CDLL) -> None:
        self._handle = handle
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(handle, f"pcre2_{name}_8")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)


@lru_cache(maxsize=1)
def _opened() -> Any:
    """The library, a `_Library`; None if it is not installed."""
    for name in _NAMES:
        try:
            return _Library(ctypes.CDLL(name))
        except OSError:
            continue
    return None


def _compile(library: Any, pattern: bytes, caseless: bool) -> int:
    error, offset = c_int(), c_size_t()
    options = _CASELESS if caseless else 0
    code: int | None = library.compile(pattern, len(pattern), options, byref(error), byref(offset), None)
    if code is not None:
        return code
    message = ctypes.create_string_buffer(_LONGEST_MESSAGE)
    library.get_error_message(error, message, _LONGEST_MESSAGE)
    reason = f'pcre2_compile() failed: {message.value.decode()} in "{_text(pattern)}"'
    rest = pattern[offset.value :]
    raise BadRegex(f'{reason} at "{_text(rest)}"' if rest else reason)


def _free(library: Any, code: int, context: int, data: int) -> None:
    library.match_data_free(data)
    library.match_context_free(context)
    library.code_free(code)


def _text(pattern: bytes) -> str:
    return pattern.decode(errors="surrogateescape")


def _info(library: Any, code: int, what: int) -> int:
    answer = c_uint32()
    library.pattern_info(code, what, byref(answer))
    return answer.value


def _groups(library: Any, code: int) -> dict[str, int]:
    """The numbers of the named groups: an entry of PCRE2's table is a number of two bytes and a name with a NUL."""
    size, count = _info(library, code, _INFO_NAMEENTRYSIZE), _info(library, code, _INFO_NAMECOUNT)
    start = POINTER(c_ubyte)()
    library.pattern_info(code, _INFO_NAMETABLE, byref(start))
    entries = [bytes(start[index * size : (index + 1) * size]) for index in range(count)]
    return {entry[2:].partition(b"\0")[0].decode().lower(): int.from_bytes(entry[:2], "big") for entry in entries}
