"""Logging in at the backend in the name of the client."""
