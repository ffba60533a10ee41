"""Logging in to the backend in the name of the client."""
