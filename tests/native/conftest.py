"""Connections that are closed in the end."""

from __future__ import annotations

from tests.event.conftest import line_context, make_line

__all__ = ["line_context", "make_line"]
