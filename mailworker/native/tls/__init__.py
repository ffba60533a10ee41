"""The binding to the system's OpenSSL: contexts, connections, certificates, and the session cache."""
