"""The errors in a client's commands, the same for every protocol."""

from __future__ import annotations

from mailworker.errors import Party, ProtocolError
from mailworker.wire.confidential import INVALID


class InvalidCommand(ProtocolError):
    """A complete line that is no command of the protocol; the parser skips it and goes on with the next one.

    `tag` is IMAP's: empty for a line that starts with a space, None if there is no usable tag, and in other protocols.
    `close` says that the client is already sending data that would be read as commands. `what` describes the line for
    the log, without the client's own words (see `mailworker.wire.confidential.described`).
    """

    def __init__(self, tag: bytes | None = None, *, close: bool = False, what: str = INVALID) -> None:
        super().__init__(Party.CLIENT, "client sent invalid command")
        self.tag = tag
        self.close = close
        self.what = what


class TooLongCommand(ProtocolError):
    """The client's buffer is full and contains no complete command; the session has to end.

    `buffer` is its content, for the log line; `tag` is IMAP's, as in `InvalidCommand`.
    """

    def __init__(self, buffer: bytes, tag: bytes | None = None) -> None:
        super().__init__(Party.CLIENT, "client sent too long command")
        self.buffer = buffer
        self.tag = tag
