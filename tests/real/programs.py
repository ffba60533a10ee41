"""Programs that fetch and send mail, each with a configuration of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.real.clients import Security, run
from tests.real.proxy import Proxy
from tests.support.daemon import mail_owner
from tests.support.mailbox import Account, make_message

FETCHMAIL = """\
set no bouncemail
poll localhost service {port} protocol {protocol} user "{account.login}" password "{account.password}"
    {security} sslcertck sslcertfile "{authority}" no rewrite fetchall mda "/bin/cat >> {folder}/fetched"
"""

# getmail forks, then sets its handler of SIGCHLD, and then waits without a look whether the child is gone already: one
# that ends sooner costs three minutes. So ours waits until its parent sleeps.
GETMAIL = """\
[retriever]
type = Simple{protocol}{kind}Retriever
server = localhost
port = {port}
username = {account.login}
password = {account.password}
{authority}
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "until grep -q State:.S /proc/$PPID/status; do :; done; cat >> {folder}/fetched")
[options]
received = false
delivered_to = false
"""

MSMTP = """\
account default
host localhost
port {port}
tls on
tls_starttls {starttls}
tls_trust_file {authority}
auth {mechanism}
user {account.login}
password {account.password}
from {account.login}
"""

MUTT = """\
set from = {account.login}
set smtp_url = "{scheme}://{account.login}@localhost:{smtp}/"
set smtp_pass = "{account.password}"
set imap_user = "{account.login}"
set imap_pass = "{account.password}"
set record = "{store}://localhost:{imap}/INBOX"
set ssl_starttls = yes
set ssl_force_tls = yes
set ssl_usesystemcerts = no
set ssl_ca_certificates_file = "{authority}"
set certificate_file = "{authority}"
"""

MPOP = """\
account default
host localhost
port {port}
tls on
tls_starttls {starttls}
tls_trust_file {authority}
auth {mechanism}
user {account.login}
password {account.password}
keep off
delivery maildir {maildir}
"""

MAIL_CLIENTS = Path(__file__).parent / "mail_clients"
PHPMAILER = ("php", MAIL_CLIENTS / "use_phpmailer.php")
MAIL_IMAPCLIENT = ("perl", MAIL_CLIENTS / "use_mail_imapclient.pl")

every_encryption = pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS], ids=lambda s: s.value)
both_protocols = pytest.mark.parametrize("protocol", ["imap", "pop3"])

Completed = subprocess.CompletedProcess[bytes]


class Programs:
    """Runs them in `folder`; all verify the proxy's certificate."""

    def __init__(self, proxy: Proxy, authority: Path, folder: Path) -> None:
        self._proxy = proxy
        self._authority = authority
        self._folder = folder
        self._owner = mail_owner().pw_uid
        os.chown(folder, self._owner, -1)

    @property
    def folder(self) -> Path:
        """Where they run, and may write."""
        return self._folder

    @property
    def fetched(self) -> bytes:
        """All that fetchmail, getmail or mpop has fetched."""
        return b"".join(
            [path.read_bytes() for path in (self._folder / "fetched", *self._maildir.glob("new/*")) if path.exists()]
        )

    @property
    def _maildir(self) -> Path:
        return self._folder / "maildir"

    def fetchmail(self, protocol: str, security: Security, account: Account) -> Completed:
        """Fetch all messages by "imap" or "pop3", and delete them."""
        text = FETCHMAIL.format(
            port=self._port(protocol, security),
            protocol=protocol,
            account=account,
            authority=self._authority,
            folder=self._folder,
            security={Security.TLS: "ssl", Security.STARTTLS: 'sslproto "TLS1.2+"'}[security],
        )
        pid_file = str(self._folder / "fetchmail.pid")
        return self._run("fetchmail", "-v", "-f", self._configure(text), "--nosyslog", "--pidfile", pid_file)

    def getmail(self, protocol: str, account: Account) -> Completed:
        """Fetch all messages by "imap" or "pop3" over TLS."""
        text = GETMAIL.format(
            protocol=protocol.upper(),
            kind="SSL",
            port=self._port(protocol, Security.TLS),
            account=account,
            authority=f"ca_certs = {self._authority}",
            folder=self._folder,
        )
        return self._run("getmail", "--getmaildir", str(self._folder), "--rcfile", self._configure(text), "--all")

    def msmtp(
        self, security: Security, mechanism: str, account: Account, message: bytes, server: str = "smtp"
    ) -> Completed:
        """Send `message` to `account`, logged in as it."""
        text = MSMTP.format(
            port=self._port(server, security),
            starttls="on" if security is Security.STARTTLS else "off",
            mechanism=mechanism,
            account=account,
            authority=self._authority,
        )
        return self._run("msmtp", "-C", self._configure(text), account.login, data=message)

    def mpop(self, security: Security, mechanism: str, account: Account) -> Completed:
        """Fetch all messages by pipelined commands of POP3, and delete them."""
        self._make_maildir()
        text = MPOP.format(
            port=self._port("pop3", security),
            starttls="on" if security is Security.STARTTLS else "off",
            mechanism=mechanism,
            account=account,
            authority=self._authority,
            maildir=self._maildir,
        )
        return self._run("mpop", "--file", self._configure(text), "--pipelining=on", "--received-header=off")

    def script(
        self, script: tuple[str, Path], protocol: str, security: Security, mechanism: str, account: Account, *more: str
    ) -> Completed:
        """Run one of MAIL_CLIENTS, which say what they do and what `more` is, by "imap" or "smtp"."""
        login = (mechanism, account.login, account.password)
        trust = {"SSL_CERT_FILE": str(self._authority)}
        name, path = script
        port = str(self._port(protocol, security))
        return run(name, str(path), port, security.value, *login, *more, home=self._folder, environment=trust)

    def mutt(self, security: Security, account: Account, body: bytes, server: str = "smtp") -> Completed:
        """Send a message with this body to `account` and keep a copy in its mailbox: SMTP, by `server`, and IMAP."""
        tls = "s" if security is Security.TLS else ""
        text = MUTT.format(
            account=account,
            scheme=f"smtp{tls}",
            smtp=self._port(server, security),
            store=f"imap{tls}",
            imap=self._port("imap", security),
            authority=self._authority,
        )
        return self._run("mutt", "-n", "-F", self._configure(text), "-s", "by mutt", "--", account.login, data=body)

    def _port(self, protocol: str, security: Security) -> int:
        return self._proxy.address(protocol + ("s" if security is Security.TLS else ""))[1]

    def _make_maildir(self) -> None:
        for path in (self._maildir, *(self._maildir / part for part in ("cur", "new", "tmp"))):
            path.mkdir()
            os.chown(path, self._owner, -1)

    def _configure(self, text: str) -> str:
        path = self._folder / "rc"
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, self._owner, -1)
        return str(path)

    def _run(self, name: str, *arguments: str, data: bytes = b"") -> Completed:
        return run(name, *arguments, data=data, home=self._folder)


def send_by_msmtp(programs: Programs, account: Account, security: Security, mechanism: str) -> None:
    """A message arrives as it was sent, its dots too."""
    message = make_message("by msmtp", (".", "..", "dots above"))
    result = programs.msmtp(security, mechanism, account, message)
    assert result.returncode == 0, result.stderr
    received = account.arrived()
    assert received.endswith(message)
