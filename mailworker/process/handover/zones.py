"""The copies of shared zones for a new binary, in memory files, which exist until their last descriptor is closed.

The memory itself cannot be shared, as some zones have the master as their only writer, and there are two masters for a
while. Such a zone is copied from the master's own memory.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mailworker.log.line import describe_lack
from mailworker.log.log import Log
from mailworker.model import Level
from mailworker.process.system.inherited_state import number
from mailworker.shm.anonymous import pages
from mailworker.shm.sealed import memfd_name
from mailworker.shm.shared import Shared

# The environment variable that names the descriptors, each ended by a semicolon.
VARIABLE = "MAILWORKER_ZONES"
# The beginning of a copy. It must change with the layout of what follows, so that no version misreads it.
_MARK = "mailworker zone 3"


@contextmanager
def announced(zones: Iterable[Shared], log: Log) -> Iterator[dict[str, str]]:
    """The environment variable with the descriptors of copies, which are open and inheritable within the context.

    A zone that cannot be copied is logged; it will be empty in the new binary. Descriptors that zones lend follow. They
    are no copies: the new binary has duplicated them when it closes them.
    """
    copies: list[int] = []
    lent: list[int] = []
    try:
        for zone in zones if hasattr(os, "memfd_create") else ():
            try:
                copies.append(_copy(zone))
            except (MemoryError, OSError) as error:
                log.write(Level.ERROR, f'cannot hand over shared memory zone "{zone.name}" {describe_lack(error)}')
            else:
                lent.extend(zone.lent)
        told = (*copies, *lent)
        for descriptor in told:
            os.set_inheritable(descriptor, True)
        yield {VARIABLE: "".join(f"{descriptor};" for descriptor in told)} if told else {}
    finally:
        for descriptor in lent:
            os.set_inheritable(descriptor, False)
        for descriptor in copies:
            os.close(descriptor)


def take_over(value: str, zones: Iterable[Shared]) -> None:
    """Fill each of `zones` from the copy with its label, and close all copies; `value` is that of VARIABLE."""
    wanted = {_label(zone): zone for zone in zones}
    for text in value.split(";"):
        descriptor = number(text)
        if descriptor is not None:
            _fill(descriptor, wanted)


def _label(zone: Shared) -> bytes:
    return os.fsencode(f"{_MARK} {zone.kind} {zone.layout} {zone.name}\0")


def _copy(zone: Shared) -> int:
    descriptor = os.memfd_create(memfd_name(zone.name))
    try:
        os.fchmod(descriptor, 0o600)
        for part in (_label(zone), *zone.contents()):
            _append(descriptor, part)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _append(descriptor: int, content: bytes | memoryview) -> None:
    """Append `content`. Pages of zeros become holes, as zones are large and often nearly empty."""
    end = os.fstat(descriptor).st_size
    os.ftruncate(descriptor, end + len(content))
    for start, page in pages(content):
        _write(descriptor, page, end + start)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


def _fill(descriptor: int, wanted: dict[bytes, Shared]) -> None:
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as copy:
            label = copy[: copy.find(b"\0") + 1]
            zone = wanted.get(label)
            if zone is not None:
                zone.take_over(copy[len(label) :])
        os.close(descriptor)
    except (MemoryError, OSError, OverflowError, ValueError):
        return  # not a copy, or no memory for it: the zone begins empty
