"""Deadlines of many sessions, which are C: mailworker/native/core/_timers.c."""

from __future__ import annotations

from mailworker.native.core.tasks import Timed, Timers

__all__ = ["Timed", "Timers"]
