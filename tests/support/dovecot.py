"""A private Dovecot: IMAP, POP3 and ManageSieve, all with STARTTLS, and the SASL service for Postfix.

IMAP and POP3 are also served over TLS.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from grp import getgrgid
from pathlib import Path
from string import Template

from tests.support.certificates import Certificate
from tests.support.daemon import Address, Daemon, ServerUnavailable, accepts, find_program, greets, mail_owner
from tests.support.mailbox import Account

CONFIGURATION = Template("""\
protocols = imap pop3 sieve
base_dir = $folder/run
state_dir = $folder/state
log_path = $folder/dovecot.log
listen = 127.0.0.1
ssl = yes
ssl_cert = <$certificate
ssl_key = <$key
ssl_ca = <$authority
ssl_require_crl = no
ssl_verify_client_cert = $demanding
auth_ssl_require_client_cert = $demanding
verbose_ssl = yes
login_log_format_elements = user=<%u> method=%m rip=%r lip=%l mpid=%e %c %k session=<%{session}>
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
protocol imap {
  mail_plugins = imap_zlib
}
plugin {
  sieve = file:$mail/%u/sieve;active=$mail/%u/active.sieve
}
local_name $name {
  ssl_cert = <$named_certificate
  ssl_key = <$named_key
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
    port = $imaps
    ssl = yes
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
    port = $pop3s
    ssl = yes
  }
  inet_listener pop3_haproxy {
    port = $pop3_haproxy
    haproxy = yes
  }
}
service managesieve-login {
  chroot =
  service_count = 0
  inet_listener sieve {
    port = $sieve
  }
}
""")


@dataclass(frozen=True, slots=True)
class DovecotTls:
    """Dovecot's certificates: `named` for clients that ask for `name` by SNI, `certificate` for all others.

    If it is `demanding`, clients can log in only with a certificate of `authority`, a file.
    """

    certificate: Certificate
    name: str
    named: Certificate
    authority: Path
    demanding: bool = False


class Dovecot:
    """Serves the maildirs `mail/LOGIN` of `accounts`.

    `ports` names a port of 127.0.0.1 for each of PORTS; those of haproxy expect a PROXY protocol header. `more` is
    appended to the configuration. The log shows each step of a handshake. Raises ServerUnavailable where Dovecot is not
    installed.
    """

    PORTS = ("imap", "imaps", "pop3", "pop3s", "imap_haproxy", "pop3_haproxy", "sieve")

    def __init__(
        self,
        folder: Path,
        mail: Path,
        accounts: Iterable[Account],
        ports: Mapping[str, int],
        tls: DovecotTls,
        more: str = "",
    ) -> None:
        program = find_program("dovecot")
        folder.mkdir(mode=0o755)
        self.log = folder / "dovecot.log"
        self.sasl = folder / "sasl"
        self.imap: Address = ("127.0.0.1", ports["imap"])
        self.imaps: Address = ("127.0.0.1", ports["imaps"])
        self.pop3: Address = ("127.0.0.1", ports["pop3"])
        self.pop3s: Address = ("127.0.0.1", ports["pop3s"])
        self.sieve: Address = ("127.0.0.1", ports["sieve"])
        self.imap_haproxy: Address = ("127.0.0.1", ports["imap_haproxy"])
        self.pop3_haproxy: Address = ("127.0.0.1", ports["pop3_haproxy"])
        self._configuration = configuration = folder / "dovecot.conf"
        values = {**process_owners(), **ports, **_tls_values(tls)}
        text = Template(CONFIGURATION.template + more)
        configuration.write_text(text.substitute(values, folder=folder, mail=mail))
        (folder / "passwd").write_text("".join(f"{account.login}:{account.password}\n" for account in accounts))
        refuse_other_versions(program, configuration)
        self._daemon = Daemon([program, "-F", "-c", str(configuration)], folder / "output")
        self._daemon.await_ready(self._is_ready)

    def stop(self) -> None:
        self._daemon.stop()

    def penalties(self) -> set[str]:
        """The addresses of clients whose logins it delays; it has none unless `more` allows anvil-auth-penalty."""
        command = [find_program("doveadm"), "-c", str(self._configuration), "penalty"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {line.split()[0] for line in listed.splitlines()[1:]}

    def _is_ready(self) -> bool:
        silent = (self.imaps, self.pop3s, self.imap_haproxy, self.pop3_haproxy)
        return greets(self.imap, self.pop3, self.sieve) and accepts(*silent) and self._logs_at_once()

    def _logs_at_once(self) -> bool:
        """Whether each login service has lines in the log.

        What the log process gets with its first read of a service, all of a session where that process begins late, it
        keeps until the service writes again. Each connection of a further attempt makes it write.
        """
        log = self.log.read_text() if self.log.exists() else ""
        return all(f" {service}-login: " in log for service in ("imap", "pop3", "managesieve"))


def process_owners() -> dict[str, str]:
    """The users of Dovecot's processes: its package's own if we are root, else our own."""
    owner = mail_owner()
    internal, login = ("dovecot", "dovenull") if os.geteuid() == 0 else (owner.pw_name, owner.pw_name)
    group = internal if os.geteuid() == 0 else getgrgid(owner.pw_gid).gr_name
    identity = {"internal_user": internal, "internal_group": group, "login_user": login}
    return {**identity, "uid": str(owner.pw_uid), "gid": str(owner.pw_gid)}


def _tls_values(tls: DovecotTls) -> dict[str, str]:
    return {
        "certificate": str(tls.certificate.certificate),
        "key": str(tls.certificate.key),
        "name": tls.name,
        "named_certificate": str(tls.named.certificate),
        "named_key": str(tls.named.key),
        "authority": str(tls.authority),
        "demanding": "yes" if tls.demanding else "no",
    }


def refuse_other_versions(program: str, configuration: Path) -> None:
    """Distinguish another major version, whose configuration has another syntax, from a failure to start."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3."):
        raise ServerUnavailable(f"Dovecot 2.3 is needed for {configuration.name}, this is {version.strip()}")
