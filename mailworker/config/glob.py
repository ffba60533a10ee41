"""glob(3) as nginx's `include` uses it: for names as bytes, sorted by bytes, with escapes and POSIX classes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

_MAGIC = re.compile(rb"[*?\[]")
_MEMBER = rb"(?:\[:[a-z]+:\]|\\[\s\S]|\[(?!:[a-z]+:\])|[^]\\[])"
# A bracket expression: a leading "!" or "^" negates it, and a "]" that comes first is a member.
_BRACKET = re.compile(rb"\[([!^]|(?![!^]))((?:\]|%b)%b*)\]" % (_MEMBER, _MEMBER))
_NOTHING: Final = b"(?!)"  # matches no name
_CLASS = re.compile(rb"\[:([a-z]+):\]")
_CLASSES: Final = {
    b"alnum": rb"0-9A-Za-z",
    b"alpha": rb"A-Za-z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"\x21-\x7e",
    b"lower": rb"a-z",
    b"print": rb"\x20-\x7e",
    b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb"\s",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}


def has_magic(pattern: str) -> bool:
    """Whether the word is a mask for nginx."""
    return bool(_MAGIC.search(os.fsencode(pattern)))


def glob(pattern: str) -> list[str]:
    """The names that match an absolute `pattern`; a name that cannot be examined does not match."""
    found = [b"/"]
    *folders, last = os.fsencode(pattern).lstrip(b"/").split(b"/")
    for component in folders:
        found = [name + b"/" for name in _extended(found, component) if os.path.isdir(name)]  # noqa: PTH112
    return sorted(os.fsdecode(name) for name in _extended(found, last))


def _extended(folders: list[bytes], component: bytes) -> Iterator[bytes]:
    """The entries of `folders` that match one component of a pattern."""
    if not _MAGIC.search(component):
        plain = re.sub(rb"\\([\s\S])", rb"\1", component)
        yield from (folder + plain for folder in folders if os.path.lexists(folder + plain))
        return
    matches = _compiled(component).fullmatch
    for folder in folders:
        names = _entries(folder)
        yield from (folder + name for name in names if matches(name) and _shown(name, component))


def _entries(folder: bytes) -> list[bytes]:
    try:
        return [*os.listdir(folder), b".", b".."]  # noqa: PTH208
    except OSError:
        return []


def _shown(name: bytes, component: bytes) -> bool:
    """Whether the name is not hidden: a leading dot must be in the pattern as well."""
    return not name.startswith(b".") or component.startswith((b".", b"\\."))


def _compiled(component: bytes) -> re.Pattern[bytes]:
    parts: list[bytes] = []
    position = 0
    while position < len(component):
        bracket = _BRACKET.match(component, position)
        if bracket:
            parts.append(_bracket_pattern(bracket))
            position = bracket.end()
            continue
        char = component[position : position + 1]
        if char == b"\\":
            position += 1
            hidden = component[position : position + 1]
            parts.append(re.escape(hidden) if hidden else _NOTHING)
        else:
            parts.append({b"*": b"[\\s\\S]*", b"?": b"[\\s\\S]"}.get(char, re.escape(char)))
        position += 1
    return re.compile(b"".join(parts))


def _bracket_pattern(bracket: re.Match[bytes]) -> bytes:
    """The bytes between brackets as a regular expression; an empty range matches nothing."""
    negated, content = bracket[1], bracket[2]
    alternatives: list[bytes] = []
    position = 0
    while position < len(content):
        named = _CLASS.match(content, position)
        if named:
            alternatives.append(_CLASSES.get(named[1], b""))
            position = named.end()
            continue
        first, position = _member(content, position)
        last = first
        if content[position : position + 1] == b"-" and position + 1 < len(content):
            last, position = _member(content, position + 1)
        if first <= last:
            alternatives.append(re.escape(first) + b"-" + re.escape(last))
    members = b"".join(alternatives)
    if not members:
        return b"[\\s\\S]" if negated else _NOTHING
    return b"[" + (b"^" if negated else b"") + members + b"]"


def _member(content: bytes, position: int) -> tuple[bytes, int]:
    """The byte at `position`, which may be escaped by a backslash, and the position after it."""
    if content[position : position + 1] == b"\\" and position + 1 < len(content):
        position += 1
    return content[position : position + 1], position + 1
