"""Patterns that a regular expression engine without a limit never finishes."""

from __future__ import annotations

from mailworker.native.regex import LONGEST_SUBJECT

# Patterns that take Python's engine, or PCRE2 without a limit, seconds to years for the texts beside them.
EVIL = [
    (rb"^(a+)+$", b"a" * (LONGEST_SUBJECT - 1) + b"!"),
    (rb"(a+)+$", b"a" * (LONGEST_SUBJECT - 1) + b"!"),
    (rb"(.*)(.*)(.*)(.*)(.*)[^a]$", b"a" * LONGEST_SUBJECT),
    (rb"\d+\d+\d+[a-z]", b"1" * LONGEST_SUBJECT),
    (rb"(?:a|b|ab)*?c", b"ab" * (LONGEST_SUBJECT // 2)),
    (rb"^(?:[^x]*[^y]*)*z", b"a" * LONGEST_SUBJECT),
    (rb"(?=(a+)+b)", b"a" * LONGEST_SUBJECT),
    (rb"^(?:(a|aa)(?1)?)*$", b"a" * (LONGEST_SUBJECT - 1) + b"b"),
    (rb"(a*)*\1b", b"a" * LONGEST_SUBJECT),
]
