"""The types of functions that evaluate variables and templates."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.variables.facts import Facts

Evaluate = Callable[[Facts], bytes | None]
"""Returns the value of a variable, None if the session has none."""

Render = Callable[[Facts], bytes]
"""Renders the text of a template. Raises ProtocolError if a regular expression takes too long."""
