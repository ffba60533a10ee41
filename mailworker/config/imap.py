"""The IMAP module's directives (ngx_mail_imap_module).

nginx has no `imap_greeting`, `imap_greeting_capabilities` and `imap_id`; the first and the last are Zimbra's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import CAPABILITIES, SASL, auth_methods, greeting
from mailworker.config.drafts import BOTH
from mailworker.config.rows import Value, row
from mailworker.config.slots import FLAG, once, size
from mailworker.config.tree import Parser
from mailworker.config.values import BUFFER, PAGE
from mailworker.model import AuthMethod

_Words = tuple[str, ...]

# RFC 2971, 3.3: the greatest number of pairs of name and value, and the longest names and values.
_MOST_PAIRS: Final = 30
_ID_NAME: Final = re.compile(r"[ -~]{1,30}")
_ID_VALUE: Final = re.compile(r"[ -~]{0,1024}")


def _read_id(parser: Parser) -> _Words:
    """Names and values, or `off`."""
    words = tuple(parser.words[1:])
    if words == ("off",):
        return ()
    names, values = words[::2], words[1::2]
    if len(words) % 2 or len(names) > _MOST_PAIRS:
        raise parser.error(f'invalid number of arguments in "{parser.words[0]}" directive')
    for word, form in (*((name, _ID_NAME) for name in names), *((value, _ID_VALUE) for value in values)):
        if form.fullmatch(word) is None:
            raise parser.error(f'invalid value "{word}" in "{parser.words[0]}" directive')
    if len({name.lower() for name in names}) < len(names):
        raise parser.error(f'duplicate name in "{parser.words[0]}" directive')
    return words


def _freeze_id(_: Parser, words: _Words) -> bytes:
    """The argument of the answer to ID."""
    strings = (re.sub(rb'["\\]', rb"\\\g<0>", os.fsencode(word)) for word in words)
    return b"(%b)" % b" ".join(b'"%b"' % string for string in strings) if words else b"NIL"


_ID: Final = Value(once(_read_id), " ".join, _freeze_id)


@dataclass(slots=True)
class ImapDraft:
    """The buffer is in bytes."""

    imap_client_buffer: int = row(BOTH, ONE, size(BUFFER), PAGE)
    imap_capabilities: tuple[str, ...] = row(BOTH, ONE_OR_MORE, CAPABILITIES, ("IMAP4", "IMAP4rev1", "UIDPLUS"))
    imap_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, auth_methods(SASL), (AuthMethod.PLAIN,))
    imap_greeting: bytes = row(BOTH, ONE, greeting(b"* OK %b\r\n"), b"IMAP4 ready")
    imap_greeting_capabilities: bool = row(BOTH, ONE, FLAG, False)
    imap_id: _Words = row(BOTH, ONE_OR_MORE, _ID, (), into="identity", spelled="off")
