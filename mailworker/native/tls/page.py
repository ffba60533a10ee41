"""The read buffer of this process.

Every read goes through it, so a connection that waits holds no buffer. It is filled and copied within one call;
mailworker's processes have one thread.
"""

from __future__ import annotations

from mailworker.native.tls._native import ffi

# Bytes of the largest read; OpenSSL gives at most one TLS record (16 KiB) at a time.
PAGE_SIZE = 65536
PAGE = ffi.new("unsigned char[]", PAGE_SIZE)
PAGE_VIEW = ffi.buffer(PAGE)
