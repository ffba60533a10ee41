"""Parsers and builders of the protocols on the wire, which use no socket, no clock and no file."""
