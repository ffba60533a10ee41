"""A private Dovecot: IMAP, POP3 and the SASL service that Postfix asks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from grp import getgrgid
from pathlib import Path
from string import Template

from tests.support.daemon import Address, Daemon, ServerUnavailable, accepts, find_program, greets, mail_owner
from tests.support.mailbox import Account

CONFIGURATION = Template("""\
protocols = imap pop3
base_dir = $folder/run
state_dir = $folder/state
log_path = $folder/dovecot.log
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
haproxy_trusted_networks = 127.0.0.0/8
default_internal_user = $internal_user
default_internal_group = $internal_group
default_login_user = $login_user
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:$mail/%u
mail_fsync = never
mail_max_userip_connections = 100
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u $folder/passwd
}
userdb {
  driver = static
  args = uid=$uid gid=$gid home=$mail/%u
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener $folder/sasl {
    mode = 0666
  }
}
service imap-login {
  chroot =
  service_count = 0
  inet_listener imap {
    port = $imap
  }
  inet_listener imaps {
    port = 0
  }
  inet_listener imap_haproxy {
    port = $imap_haproxy
    haproxy = yes
  }
}
service pop3-login {
  chroot =
  service_count = 0
  inet_listener pop3 {
    port = $pop3
  }
  inet_listener pop3s {
    port = 0
  }
  inet_listener pop3_haproxy {
    port = $pop3_haproxy
    haproxy = yes
  }
}
""")


class Dovecot:
    """Serves the maildirs `mail/LOGIN` of `accounts`.

    `ports` names a port of 127.0.0.1 for each of imap, pop3, imap_haproxy and pop3_haproxy; the last two expect a
    PROXY protocol header. Raises ServerUnavailable where Dovecot is not installed.
    """

    def __init__(self, folder: Path, mail: Path, accounts: Iterable[Account], ports: Mapping[str, int]) -> None:
        program = find_program("dovecot")
        folder.mkdir(mode=0o755)
        self.log = folder / "dovecot.log"
        self.sasl = folder / "sasl"
        self.imap: Address = ("127.0.0.1", ports["imap"])
        self.pop3: Address = ("127.0.0.1", ports["pop3"])
        self.imap_haproxy: Address = ("127.0.0.1", ports["imap_haproxy"])
        self.pop3_haproxy: Address = ("127.0.0.1", ports["pop3_haproxy"])
        configuration = folder / "dovecot.conf"
        configuration.write_text(CONFIGURATION.substitute(_identity(), folder=folder, mail=mail, **ports))
        (folder / "passwd").write_text("".join(f"{account.login}:{account.password}\n" for account in accounts))
        _refuse_bad_configuration(program, configuration)
        self._daemon = Daemon([program, "-F", "-c", str(configuration)], folder / "output")
        self._daemon.await_ready(self._is_ready)

    def stop(self) -> None:
        self._daemon.stop()

    def _is_ready(self) -> bool:
        return greets(self.imap) and greets(self.pop3) and accepts(self.imap_haproxy) and accepts(self.pop3_haproxy)


def _identity() -> dict[str, str]:
    """Users of Dovecot's processes: its package's own if we are root, else all are we."""
    owner = mail_owner()
    internal, login = ("dovecot", "dovenull") if os.geteuid() == 0 else (owner.pw_name, owner.pw_name)
    group = internal if os.geteuid() == 0 else getgrgid(owner.pw_gid).gr_name
    identity = {"internal_user": internal, "internal_group": group, "login_user": login}
    return {**identity, "uid": str(owner.pw_uid), "gid": str(owner.pw_gid)}


def _refuse_bad_configuration(program: str, configuration: Path) -> None:
    """Tell another major version, whose configuration has another syntax, from a failure to start."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3."):
        raise ServerUnavailable(f"Dovecot 2.3 is needed for {configuration.name}, this is {version.strip()}")
