"""What the sessions of a worker run on: tasks, the streams that they wait for, and their deadlines."""

from __future__ import annotations

from mailworker.native.core._stream import Stream
from mailworker.native.core._task import Task
from mailworker.native.core._timers import Timed, Timers

__all__ = ["Stream", "Task", "Timed", "Timers"]
