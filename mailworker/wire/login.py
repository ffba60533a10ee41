"""The data of a login, from the client's command to its backend."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.model import AuthMethod
from mailworker.wire.auth_response import Accepted
from mailworker.wire.secret import Secret

# With other methods the client sends a digest, a token, or nothing.
_WITH_PASSWORD = (AuthMethod.PLAIN, AuthMethod.LOGIN)
_BY_TOKEN = (AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER)


@dataclass(slots=True)
class SmtpEnvelope:
    """The commands of a client that sends mail without authentication, as lines without their end."""

    mail: bytes
    rcpt: bytes


@dataclass(slots=True)
class Login:
    """A login: the name and the credentials.

    `password` is the client's digest with APOP and CRAM-MD5, and `salt` the challenge that it answers; it is a token
    with XOAUTH2 and OAUTHBEARER, None if there is none. `authzid` is the identity that the client wants to act for with
    PLAIN, None if that is its own. `envelope` is None unless the method is NONE.

    The backend also gets `tag`, the tag of an IMAP command, and, in SMTP, `helo`, the argument of the client's last
    HELO or EHLO, empty without one; `esmtp` tells whether there has been any EHLO. `client_id` is the argument of an
    IMAP client's ID, in the form of `imap_id.write`, empty without one. `passed_on`: the backend decides about the
    login, and no source has. `mechanism` is the SASL mechanism for the backend, NONE for no login there, None for the
    protocol's usual command; `master` logs in there and acts for `name`, None if `name` itself logs in.
    """

    method: AuthMethod
    name: bytes
    password: Secret | None = None
    salt: bytes | None = None
    envelope: SmtpEnvelope | None = None
    authzid: bytes | None = None
    tag: bytes = b""
    helo: bytes = b""
    esmtp: bool = False
    client_id: bytes = b""
    passed_on: bool = False
    mechanism: AuthMethod | None = None
    master: bytes | None = None

    def adopt(self, accepted: Accepted) -> None:
        """Turn into the login for the backend: the auth service may have given another name and a password."""
        self.passed_on = accepted.passed_on
        if accepted.passed_on:
            self.mechanism = self.method if self.method in _BY_TOKEN else None
            return
        if accepted.login is not None:
            self.name = accepted.login
        self.mechanism, self.master = accepted.mechanism, accepted.master
        if accepted.password is not None or not (self.method in _WITH_PASSWORD or self._passes_its_token):
            self.password = accepted.password

    @property
    def _passes_its_token(self) -> bool:
        """Whether the auth service wants the client's token to be used at the backend, too."""
        return self.mechanism in _BY_TOKEN and self.method in _BY_TOKEN
