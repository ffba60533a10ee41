"""Why a session ends: what is logged, and what the client is told."""

from __future__ import annotations

from mailworker.errors import OutOfConnections, Party, PeerError, ProtocolError
from mailworker.mail.backend.backend import Unsafe
from mailworker.mail.dialogue.dialogue import AnyDialogue
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.model import Level
from mailworker.wire.backend import InvalidReply


def explain(error: Exception, dialogue: AnyDialogue, server: Server, log: SessionLog) -> bytes | None:
    """Log why the session ends; gives what the client is told, None where it is not there to be told."""
    if isinstance(error, PeerError):
        return _blame(error, dialogue, server, log)
    if isinstance(error, OutOfConnections):
        log.write(Level.ALERT, str(error))
    else:
        log.bug(error)
    return dialogue.internal_error


def _blame(error: PeerError, dialogue: AnyDialogue, server: Server, log: SessionLog) -> bytes | None:
    if isinstance(error, Unsafe):
        log.write(Level.INFO if error.known else Level.ERROR, str(error))
        return error.answer
    quoting = server.settings.proxy.pass_error_message
    if quoting and isinstance(error, InvalidReply) and error.reply.is_text:
        log.info(str(error))
        return error.reply.data
    log.fault(error, server.authenticator.name)
    if error.party is not Party.CLIENT:
        return dialogue.internal_error
    refused = isinstance(error, ProtocolError)  # a login that no backend may see
    return dialogue.invalid() if refused else None
