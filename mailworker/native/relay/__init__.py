"""Bytes from one connection to another."""
