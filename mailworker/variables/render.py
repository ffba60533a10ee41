"""The functions that variables and texts become."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.variables.facts import Facts

Evaluate = Callable[[Facts], bytes | None]
"""Gives the value of a variable, None if the session has none."""

Render = Callable[[Facts], bytes]
"""Renders the text of a template. Raises ProtocolError if a regular expression takes too long."""
