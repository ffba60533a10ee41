"""The dialogue with a client before it is logged in."""
