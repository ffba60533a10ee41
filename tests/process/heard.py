"""What has arrived at a child's end of the link."""

from __future__ import annotations

import os

from mailworker.process.link import FileUpdate, Message, Receiver


def messages(receiver: Receiver) -> list[Message | None]:
    """All messages."""
    found = []
    while receiver.has_message:
        found.append(receiver.take())
    return found


def paths(receiver: Receiver) -> list[str]:
    """The paths of the updates."""
    found = []
    for update in messages(receiver):
        if isinstance(update, FileUpdate):
            found.append(update.path)
            os.close(update.descriptor)
    return found
