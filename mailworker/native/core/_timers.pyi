"""Deadlines of many sessions."""

class Timed:
    """Something with a deadline. `deadline` is in seconds of the monotonic clock, `inf` for none."""

    @property
    def deadline(self) -> float: ...
    @property
    def bucket(self) -> float:
        """When its bucket is due, `inf` for none."""

    def expire(self) -> None:
        """Called once when the deadline has passed."""

class Timers:
    """All deadlines of one loop. Raises ValueError for a time that is not finite."""

    @property
    def first(self) -> float:
        """Before that time, `inf` for never, there is nothing to expire."""

    def set(self, timed: Timed, deadline: float, now: float) -> None:
        """Expire `timed` at `deadline` instead of whenever it would have."""

    def cancel(self, timed: Timed) -> None:
        """Forget `timed`; it can be set again."""

    def delay(self, now: float) -> float | None:
        """Seconds until something may be due, a day at most; None when nothing is set."""

    def expire(self, now: float) -> None:
        """Expire all whose deadline is `now` or earlier."""
