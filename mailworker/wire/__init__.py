"""Bytes to meaning and back, without a socket, a clock or a file: the protocols as they go over the wire."""
