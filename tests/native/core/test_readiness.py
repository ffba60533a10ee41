from __future__ import annotations

import re
import selectors
from pathlib import Path

from mailworker.native.core import readiness
from mailworker.native.core.readiness import READ, WRITE, Readiness

HEADER = Path(readiness.__file__).with_name("events.h").read_text(encoding="utf-8")


def test_c_and_selectors_have_the_same_numbers() -> None:
    in_c = {name: int(number) for name, number in re.findall(r"^#define (\w+) (\d+)$", HEADER, re.MULTILINE)}
    assert in_c == {member.name: member.value for member in Readiness}
    assert (READ, WRITE) == (selectors.EVENT_READ, selectors.EVENT_WRITE)
