"""How often clients may try to log in."""
