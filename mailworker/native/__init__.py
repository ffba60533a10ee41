"""The only C of mailworker, and the modules that give it types and errors.

`core` and `relay` hold modules of Python's own C interface. `tls` is a cffi binding to the system's OpenSSL, and holds
the relay's pump and the call of `mapping` as well. Nothing outside this package imports a compiled module.
"""
