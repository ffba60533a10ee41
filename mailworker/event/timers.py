"""Deadlines of many sessions, which are C: mailworker/native/_timers.c."""

from __future__ import annotations

from mailworker.native.tasks import Timed, Timers

__all__ = ["Timed", "Timers"]
