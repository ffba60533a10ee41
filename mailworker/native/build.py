"""Builds the compiled module for OpenSSL: setup.py reads this, and running it builds the module in place.

MAILWORKER_WERROR=1 turns the compiler's warnings into errors. CFLAGS and LDFLAGS are honoured, also for sanitizers.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cffi import FFI, PkgConfigError
from cffi.pkgconfig import flags_from_pkgconfig

HERE = Path(__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Werror"]

FOLDERS = ("core", "shm", "tls")

# The declarations that cffi reads: every name that Python uses.
HEADERS = ("tls/openssl.cdef", "core/events.h", "tls/native.h")

# Headers that the sources include beside these.
INCLUDED = ("tls/openssl.h", "core/sending.h", "shm/siphash.h", "core/transport.h")

SOURCES = ("openssl", "hello", "link", "pair", "resumption", "tls_session_table")

# The beginning of the C file that cffi generates: it declares every function that Python calls.
PREAMBLE = """
#define OPENSSL_SUPPRESS_DEPRECATED
#include "openssl.h"
#include <openssl/conf.h>
#include <openssl/dh.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509v3.h>
#include <sys/mman.h>
#ifdef OPENSSL_NO_ENGINE
#define ENGINES 0
#define ENGINE_by_id(id) NULL
#define ENGINE_init(engine) 0
#define ENGINE_load_private_key(engine, id, method, data) NULL
#define ENGINE_finish(engine) 0
#define ENGINE_free(engine) 0
#else
#define ENGINES 1
#include <openssl/engine.h>
#endif
#ifndef SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
#define SSL_OP_NO_TX_CERTIFICATE_COMPRESSION 0
#define SSL_CTX_compress_certs(context, algorithm) 0
#endif
#if OPENSSL_VERSION_NUMBER < 0x10101000L
#error "mailworker needs OpenSSL 1.1.1 or later"
#elif OPENSSL_VERSION_NUMBER < 0x30000000L
#define SSL_get_negotiated_group(connection) 0
#endif
"""


def compiler_settings() -> dict[str, Any]:
    """The paths of OpenSSL, by pkg-config if that is installed, and the flags for the compiler."""
    try:
        found: dict[str, Any] = flags_from_pkgconfig(["openssl"])
    except PkgConfigError:
        found = {"libraries": ["ssl", "crypto"]}
    found.setdefault("include_dirs", []).extend(str(HERE / folder) for folder in FOLDERS)
    if os.environ.get("MAILWORKER_WERROR"):
        found.setdefault("extra_compile_args", []).extend(WARNINGS)
    return found


def make_builder() -> FFI:
    """The builder of the module `mailworker.native.tls._native`."""
    builder = FFI()
    builder.cdef("".join((HERE / name).read_text() for name in HEADERS))
    builder.set_source(
        "mailworker.native.tls._native",
        PREAMBLE,
        sources=[str(HERE / "tls" / f"{name}.c") for name in SOURCES],
        depends=[str(HERE / name) for name in (*HEADERS, *INCLUDED)],
        **compiler_settings(),
    )
    return builder


def build_in_place() -> Path:
    """Compile the module and install it here; a module under another name, from setup.py, is removed."""
    with TemporaryDirectory() as folder:
        compiled = Path(ffibuilder.compile(tmpdir=folder))
        target = HERE / "tls" / compiled.name
        fresh = target.with_suffix(".new")
        shutil.copy(compiled, fresh)
        fresh.replace(target)  # a running process keeps the file that it has mapped
    for stale in set(target.parent.glob("_native.*.so")) - {target}:
        stale.unlink()
    return target


ffibuilder = make_builder()

if __name__ == "__main__":
    print(build_in_place())
