"""A session's coroutine."""

from collections.abc import Coroutine
from typing import Any

from mailworker.errors import MailworkerError
from mailworker.native.core._timers import Timed

class Task(Timed):
    """Runs one coroutine, which waits by giving something with `park(task)` and `timed_out()`."""

    def __init__(self, loop: Any, coroutine: Coroutine[Any, None, None]) -> None: ...
    @property
    def loop(self) -> Any: ...
    def resume(self, error: MailworkerError | None = None) -> None: ...
    def expire(self) -> None: ...
    def cancel(self) -> None: ...
