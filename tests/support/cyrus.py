"""A private Cyrus: IMAP, POP3 and ManageSieve, with mailboxes and scripts of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from tests.support.daemon import Address, Daemon, greets, mail_owner
from tests.support.mailbox import Account
from tests.support.overlay import Overlay, create_owned

# It looks for new mail every `imapidlepoll` seconds; a mailbox is made at the first login of its owner.
CONFIGURATION = Template("""\
configdirectory: $folder/state
proc_path: $folder/state/proc
mboxname_lockpath: $folder/state/lock
partition-default: $folder/mail
defaultpartition: default
cyrus_user: $user
servername: cyrus.example.test
unixhierarchysep: yes
virtdomains: userid
autocreate_quota: 0
allowplaintext: yes
failedloginpause: 0
imapidlepoll: 1
duplicatesuppression: no
sievedir: $folder/sieve
sieve_maxscriptsize: 1024
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: $folder/passwords
""")

SERVICES = Template("""\
START {
}
SERVICES {
  imap cmd="imapd" listen="127.0.0.1:$imap" prefork=1
  pop3 cmd="pop3d" listen="127.0.0.1:$pop3" prefork=1
  sieve cmd="timsieved" listen="127.0.0.1:$sieve" prefork=1
}
EVENTS {
}
""")

SET_PASSWORDS = """\
while read -r name domain password; do
    printf %s "$password" | saslpasswd2 -p -c -f "$1" -u "$domain" "$name"
done
chown "$2" "$1"
"""


class Cyrus:
    """Keeps mailboxes for `accounts`, but does not use their maildirs.

    `ports` names a port of 127.0.0.1 for each of PORTS. Raises ServerUnavailable as Overlay does.
    """

    PORTS = ("imap", "pop3", "sieve")

    def __init__(self, folder: Path, accounts: Iterable[Account], ports: Mapping[str, int]) -> None:
        overlay = Overlay(folder, ["cyrus"])
        self.imap: Address = ("127.0.0.1", ports["imap"])
        self.pop3: Address = ("127.0.0.1", ports["pop3"])
        self.sieve: Address = ("127.0.0.1", ports["sieve"])
        user = mail_owner().pw_name
        state = folder / "state"
        create_owned(folder / "mail", folder / "sieve", state, state / "proc", state / "lock", state / "socket")
        (overlay.etc / "imapd.conf").write_text(CONFIGURATION.substitute(folder=folder, user=user))
        (overlay.etc / "cyrus.conf").write_text(SERVICES.substitute(ports))
        passwords = "".join(f"{account.login.replace('@', ' ')} {account.password}\n" for account in accounts)
        overlay.execute("sh", "-ec", SET_PASSWORDS, "sh", str(folder / "passwords"), user, data=passwords)
        options = ["-D", "-p", str(overlay.run / "pid")]
        self._daemon = Daemon(overlay.command("/usr/lib/cyrus/bin/master", *options), folder / "output")
        self._daemon.await_ready(lambda: greets(self.imap, self.pop3, self.sieve))

    def stop(self) -> None:
        self._daemon.stop()
