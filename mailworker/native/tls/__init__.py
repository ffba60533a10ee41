"""The binding to the system's OpenSSL."""
