"""Where two transcripts part, and which of the named differences that is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle.transcript import without_refusals

_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})")
_RECORD = re.compile(r"log \[[a-z]+\] ")
_BACKEND = re.compile(r", upstream: \S+\Z")
_BROKEN_HEADER = re.compile(r'(broken header: "[^\n]*?)(?:\n|" while).*\Z', re.DOTALL)
# Longer messages are cut by mailworker (capped-value), yet later than here.
_CAP = 400


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first lines that differ, and the `common` ones before them; "" is the end of a transcript."""

    common: Sequence[str]
    theirs: str
    ours: str

    @property
    def said(self) -> str:
        """What the client said last."""
        return next((line for line in reversed(self.common) if line.startswith("client > ")), "")


def divergence(theirs: Sequence[str], ours: Sequence[str]) -> Divergence | None:
    """None where the transcripts are equal but for how the log writes bytes."""
    theirs, ours = _canonical(theirs), _canonical(ours)
    count = next((n for n, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other), None)
    if count is None:
        if len(theirs) == len(ours):
            return None
        count = min(len(theirs), len(ours))
    return Divergence(theirs[:count], *("".join(lines[count : count + 1]) for lines in (theirs, ours)))


def _canonical(lines: Sequence[str]) -> list[str]:
    """Log lines without escapes (log-escaping), long values (capped-value, broken-header), and what nginx leaves out
    (upstream-without-login, closed-without-a-word, refusal-in-log)."""
    lines = without_refusals(lines)
    parties = [line for line in lines if not line.startswith("log ")]
    records: list[str] = []
    for line in lines[len(parties) :]:
        if _RECORD.match(line):
            records.append(line)
        else:
            records[-1] += "\n" + line.removeprefix("log ")
    return parties + [_record(record) for record in records if "prematurely closed connection" not in record]


def _record(record: str) -> str:
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), record).replace("\r", "\n")
    text = re.sub("\n+", "\n", text)
    text = _BROKEN_HEADER.sub(r"\1", text)
    if ", login: " not in text:
        text = _BACKEND.sub("", text)
    return text[:_CAP]
