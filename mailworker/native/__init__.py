"""All C code of mailworker, and the modules that give it types and errors.

`core` and `relay` are written against CPython's C API. `tls` is a cffi binding to the system's OpenSSL, and holds the
calls of `mapping` as well. Nothing outside this package imports a compiled module.
"""
