"""Real clients, pointed at the proxy."""

from __future__ import annotations

import imaplib
import os
import poplib
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.real.proxy import Proxy
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import ServerUnavailable, find_program, mail_owner
from tests.support.mailbox import Account, make_message

TIMEOUT = 50.0


class Security(Enum):
    """How a connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Clients:
    """Opens connections to the proxy's servers by name and runs client programs against them.

    Under TLS and STARTTLS all of them verify the proxy's certificate. `source` is the address that a client connects
    from, any of 127.0.0.0/8.
    """

    def __init__(self, proxy: Proxy, authority: CertificateAuthority, tls: ssl.SSLContext | None = None) -> None:
        self._proxy = proxy
        self._authority = authority.path
        self._tls = tls or ssl.create_default_context(cafile=authority.path)

    def imap(self, security: Security) -> imaplib.IMAP4:
        if security is Security.TLS:
            return imaplib.IMAP4_SSL(*self._proxy.address("imaps"), ssl_context=self._tls, timeout=TIMEOUT)
        connection = imaplib.IMAP4(*self._proxy.address("imap"), timeout=TIMEOUT)
        if security is Security.STARTTLS:
            connection.starttls(self._tls)
        return connection

    def pop3(self, security: Security) -> poplib.POP3:
        if security is Security.TLS:
            host, port = self._proxy.address("pop3s")
            return poplib.POP3_SSL(host, port, context=self._tls, timeout=TIMEOUT)
        host, port = self._proxy.address("pop3")
        connection = poplib.POP3(host, port, timeout=TIMEOUT)
        if security is Security.STARTTLS:
            connection.stls(self._tls)
        return connection

    def read_and_delete(self, security: Security, account: Account) -> list[bytes]:
        """The lines of the one message in a mailbox, which poplib deletes."""
        client = self.pop3(security)
        client.user(account.login)
        client.pass_(account.password)
        assert client.stat()[0] == 1
        message = client.retr(1)[1]
        client.dele(1)
        client.quit()
        return message

    def smtp(self, security: Security, server: str = "smtp", source: str = "127.0.0.1") -> smtplib.SMTP:
        if security is Security.TLS:
            host, port = self._proxy.address("smtps")
            return smtplib.SMTP_SSL(host, port, context=self._tls, timeout=TIMEOUT, source_address=(source, 0))
        connection = smtplib.SMTP(*self._proxy.address(server), timeout=TIMEOUT, source_address=(source, 0))
        if security is Security.STARTTLS:
            connection.starttls(context=self._tls)
        return connection

    def connect(self, server: str, source: str = "127.0.0.1") -> socket.socket:
        """A bare TCP connection."""
        return socket.create_connection(self._proxy.address(server), TIMEOUT, source_address=(source, 0))

    def talk(self, server: str, data: bytes) -> bytes:
        """Send `data` in one piece and return all that comes until the proxy closes the connection."""
        with self.connect(server) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def curl(self, url: str, security: Security, account: Account, *options: str) -> subprocess.CompletedProcess[bytes]:
        """Run curl on `url`, in which "{address}" stands for the address of the server named by its scheme."""
        host, port = self._proxy.address(url.partition(":")[0])
        protection = ["--ssl-reqd"] if security is Security.STARTTLS else []
        credentials = f"{account.login}:{account.password}"
        common = ["--silent", "--show-error", "--max-time", str(TIMEOUT), "--cacert", str(self._authority)]
        target = url.format(address=f"{host}:{port}")
        return run("curl", *common, *protection, "--user", credentials, *options, target)

    def swaks(self, server: str, account: Account, *options: str) -> subprocess.CompletedProcess[bytes]:
        """Send a message to `account`, logged in as it; no `.swaksrc` is read."""
        host, port = self._proxy.address(server)
        credentials = ["--auth-user", account.login, "--auth-password", account.password]
        where = ["--server", host, "--port", str(port), "--to", account.login, "--from", account.login]
        verify = ["--tls-verify", "--tls-ca-path", str(self._authority)]
        return run("swaks", "--config", os.devnull, *where, *credentials, *verify, *options)

    def swaks_without_login(self, server: str, account: Account, *options: str) -> subprocess.CompletedProcess[bytes]:
        """Try to send a message to `account` as nobody."""
        host, port = self._proxy.address(server)
        where = ["--server", host, "--port", str(port), "--to", account.login, "--from", "somebody@example.test"]
        return run("swaks", "--config", os.devnull, *where, *options)

    def openssl(
        self, server: str, *options: str, greeting: bytes = b"", data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `openssl s_client`, which sends `data` after a line that starts with `greeting`, b"" for at once."""
        host, port = self._proxy.address(server)
        verify = ["-CAfile", str(self._authority), "-verify_return_error"]
        command = [_program("openssl"), "s_client", "-connect", f"{host}:{port}", *verify, "-ign_eof", *options]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdout is not None
            read = b""
            while greeting and (line := process.stdout.readline()):
                read += line
                if line.startswith(greeting):
                    break
            output, errors = process.communicate(data, TIMEOUT)
        return subprocess.CompletedProcess(command, process.returncode, read + output, errors)

    def mbsync(self, account: Account, maildir: Path, server: str = "imaps") -> subprocess.CompletedProcess[bytes]:
        """Synchronise the account's INBOX with the folder `maildir`/INBOX in both directions over IMAPS."""
        _, port = self._proxy.address(server)
        configuration = maildir.parent / "mbsyncrc"
        configuration.write_text(
            MBSYNC.format(port=port, authority=self._authority, account=account, parent=maildir.parent, maildir=maildir)
        )
        maildir.mkdir(exist_ok=True)
        return run("mbsync", "--config", str(configuration), "--quiet", "inbox")


MBSYNC = """\
SyncState {parent}/state-
IMAPAccount proxy
Host localhost
Port {port}
User {account.login}
Pass {account.password}
AuthMechs LOGIN
SSLType IMAPS
CertificateFile {authority}
SystemCertificates no

IMAPStore far
Account proxy

MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX

Channel inbox
Far :far:
Near :near:
Sync All
Create Near
"""


def _program(name: str) -> str:
    """Path of a client program; a machine without it skips the test."""
    try:
        return find_program(name)
    except ServerUnavailable as error:
        pytest.skip(str(error))


def run(
    name: str,
    *arguments: str,
    data: bytes = b"",
    home: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a client program, which gets `data` as its standard input.

    With a `home` it runs as the owner of mailboxes, and gets only PATH, HOME and the variables of `environment`.
    """
    command = [_program(name), *arguments]
    owner = mail_owner() if home is not None and os.geteuid() == 0 else None
    return subprocess.run(
        command,
        input=data,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        cwd=home,
        env=None if home is None else {"HOME": str(home), "PATH": os.environ["PATH"], **(environment or {})},
        user=None if owner is None else owner.pw_uid,
        group=None if owner is None else owner.pw_gid,
        extra_groups=None if owner is None else [],
    )


def expect_push(client: imaplib.IMAP4, account: Account) -> None:
    """Log in to an empty mailbox of Dovecot's, and hear by IDLE of a message that comes (RFC 2177)."""
    client.login(account.login, account.password)
    client.select()
    client.send(b"idle IDLE\r\n")
    assert client.readline().startswith(b"+ ")
    account.deliver(make_message("pushed"))
    assert client.readline() == b"* 1 EXISTS\r\n"
    assert client.readline() == b"* 1 RECENT\r\n"
    client.send(b"DONE\r\n")
    assert client.readline().startswith(b"idle OK ")
