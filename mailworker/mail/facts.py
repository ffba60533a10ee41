"""What a session knows, for variables: made where the configuration asks for some, and for no other session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mailworker.event.sockets import local_address
from mailworker.mail.client.client import Client
from mailworker.mail.record import SessionRecord
from mailworker.model import Address, AuthMethod
from mailworker.tls.connection import TlsConnection
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.imap_id import by_name
from mailworker.wire.login import Login, SmtpEnvelope


class SessionFacts:
    """See `mailworker.variables.facts.Facts`. They are those of one attempt to log in, the `attempts`-th."""

    __slots__ = ("_client", "_login", "_record", "attempts", "auth_user", "remote_user")

    def __init__(self, client: Client, record: SessionRecord, login: Login, attempts: int) -> None:
        self._client = client
        self._record = record
        self._login = login  # whose name becomes that of the login at the backend
        self.attempts = attempts
        self.auth_user = self.remote_user = login.name

    def settle(self, verdict: Accepted | Rejected) -> Accepted | Rejected:
        """The attempt is decided: take the login's other name; gives the verdict with a backend if it names none.

        Raises ProtocolError where there is none.
        """
        if verdict.login is not None:
            self.remote_user = verdict.login
        choose = self._record.entrance.server.backend
        if verdict.accepted and verdict.address is None and choose is not None:
            self._record.action = "choosing upstream"
            return replace(verdict, address=choose(self))
        return verdict

    @property
    def number(self) -> int:
        return self._record.number

    @property
    def protocol(self) -> str:
        return self._record.entrance.server.settings.protocol

    @property
    def server_name(self) -> bytes:
        return self._record.entrance.server.settings.server_name

    @property
    def peer(self) -> Address:
        return self._client.peer

    @property
    def address(self) -> Address:
        return self._client.address

    @property
    def local(self) -> Address:
        return local_address(self._client.stream.descriptor)

    @property
    def proxy_texts(self) -> tuple[bytes, bytes, bytes, bytes] | None:
        header = self._client.proxy_header
        return None if header is None else header.texts

    @property
    def host(self) -> bytes:
        return self._client.host

    @property
    def tls(self) -> TlsConnection | None:
        tls: TlsConnection | None = self._client.stream.tls
        return tls

    @property
    def starttls(self) -> bool:
        return self._record.starttls

    @property
    def method(self) -> AuthMethod:
        return self._login.method

    @property
    def envelope(self) -> SmtpEnvelope | None:
        return self._login.envelope

    @property
    def helo(self) -> bytes:
        return self._login.helo

    @property
    def client_id(self) -> bytes:
        return self._login.client_id

    @property
    def client_id_fields(self) -> Mapping[bytes, bytes]:
        return by_name(self._login.client_id)

    @property
    def session_id(self) -> bytes:
        return self._record.session_id
