"""How much CPU time a part of a test takes."""

from __future__ import annotations

import gc
from time import process_time


class CpuTime:
    """`with CpuTime() as took:` counts the `seconds` of CPU time of all threads of this process.

    The garbage collector is held back meanwhile: all that earlier tests have left takes it half a second at times.
    """

    __slots__ = ("_begun", "seconds")

    def __enter__(self) -> CpuTime:
        gc.disable()
        self.seconds = 0.0
        self._begun = process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = process_time() - self._begun
        gc.enable()
