"""The client of a session: its address, its name and its TLS."""
