"""Limits on clients' attempts to log in."""
