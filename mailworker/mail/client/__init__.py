"""Who is at the other end of a session: its address, its name, what its TLS says of it."""
