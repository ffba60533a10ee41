"""The only C of mailworker, over the system's OpenSSL: modules that give the compiled part types and errors.

Nothing outside this package imports the compiled module.
"""
