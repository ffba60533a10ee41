"""A private Courier: IMAP and POP3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.support.daemon import Address, Daemon, greets, mail_owner
from tests.support.mailbox import Account
from tests.support.overlay import Overlay

AUTH_DAEMON = "/usr/lib/courier/courier-authlib/authdaemond"
IMAP = ("/usr/lib/courier/courier/imaplogin", "/usr/bin/imapd")
POP3 = ("/usr/lib/courier/courier/courierpop3login", "/usr/lib/courier/courier/courierpop3d")

AUTH_CONFIGURATION = """\
authmodulelist="authuserdb"
authdaemonvar=/run/courier/authdaemon
daemons=2
DEBUG_LOGIN=0
"""

# The environment that its scripts read from /etc/courier/imapd. It looks for new mail every IMAP_IDLE_TIMEOUT seconds.
ENVIRONMENT = (
    "PATH=/usr/bin:/bin",
    "IMAP_CAPABILITY=IMAP4rev1 UIDPLUS CHILDREN NAMESPACE SORT QUOTA IDLE",
    "IMAP_IDLE_TIMEOUT=1",
)


class Courier:
    """Serves the maildirs of `accounts` at the ports "imap" and "pop3" of 127.0.0.1.

    Raises ServerUnavailable as Overlay does.
    """

    PORTS = ("imap", "pop3")

    def __init__(self, folder: Path, accounts: Iterable[Account], ports: Mapping[str, int]) -> None:
        self._overlay = Overlay(folder)
        self.imap: Address = ("127.0.0.1", ports["imap"])
        self.pop3: Address = ("127.0.0.1", ports["pop3"])
        (self._overlay.run / "courier" / "authdaemon").mkdir(parents=True)
        self._configure(accounts)
        socket = self._overlay.run / "courier" / "authdaemon" / "socket"
        with ExitStack() as daemons:
            for name, command, ready in (
                ("auth", [AUTH_DAEMON], socket.exists),
                ("imap", [*_listen(self.imap), *IMAP, "."], lambda: greets(self.imap)),
                ("pop3", [*_listen(self.pop3), *POP3, "."], lambda: greets(self.pop3)),
            ):
                daemon = Daemon(self._overlay.command("/usr/bin/env", "-i", *ENVIRONMENT, *command), folder / name)
                daemons.callback(daemon.stop)
                daemon.await_ready(ready)
            self._daemons = daemons.pop_all()

    def stop(self) -> None:
        self._daemons.close()

    def _configure(self, accounts: Iterable[Account]) -> None:
        """Configure it; passwords go into a database, which Courier's own tool makes."""
        path = self._overlay.etc / "courier"
        path.mkdir()
        (path / "authdaemonrc").write_text(AUTH_CONFIGURATION)
        users = path / "userdb"
        users.touch(mode=0o600)
        users.write_text("".join(map(_user, accounts)))
        self._overlay.execute("/usr/sbin/makeuserdb", "-f", str(users))


def _listen(address: Address) -> list[str]:
    host, port = address
    options = ["-nodnslookup", "-noidentlookup", "-maxprocs=100", "-maxperip=100"]
    return ["/usr/sbin/couriertcpd", f"-address={host}", *options, str(port)]


def _user(account: Account) -> str:
    owner = mail_owner()
    digest = base64.b64encode(hashlib.sha1(account.password.encode()).digest()).decode()
    fields = {
        "uid": owner.pw_uid,
        "gid": owner.pw_gid,
        "home": account.maildir,
        "mail": account.maildir,
        "systempw": f"{{SHA}}{digest}",
    }
    return f"{account.login}\t{'|'.join(f'{name}={value}' for name, value in fields.items())}\n"
