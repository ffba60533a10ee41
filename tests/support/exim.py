"""A private Exim: takes mail by SMTP and delivers it into maildirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from tests.support.daemon import Address, Daemon, accepts, greets, mail_owner
from tests.support.mailbox import DOMAIN, Account
from tests.support.overlay import Overlay, create_owned

# Exim trusts the results of lookups, but not text of clients.
CONFIGURATION = Template("""\
primary_hostname = exim.example.test
spool_directory = $folder/spool
log_file_path = $folder/spool/%slog
pid_file_path =
keep_environment =
add_environment = PATH=/usr/bin:/bin
local_interfaces = <; [127.0.0.1]:$smtp ; [127.0.0.1]:$submission ; [127.0.0.1]:$smtp_haproxy
hosts_proxy = $${if eq {$$received_port}{$smtp_haproxy} {127.0.0.1}}
tls_advertise_hosts =
smtp_accept_max = 100
deliver_drop_privilege = true
acl_smtp_mail = check_sender
acl_smtp_rcpt = check_recipient

begin acl
check_sender:
  deny condition = $${if eq {$$received_port}{$submission}}
       !authenticated = *
       message = who are you?
  accept
check_recipient:
  accept domains = $domain
  deny message = no relay

begin routers
mailboxes:
  driver = accept
  domains = $domain
  transport = maildir

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = $mail/$${lookup {$$local_part@$$domain} dsearch {$mail}}
  user = $user

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = $${if eq {$$auth3}{$${lookup {$$auth2} lsearch {$folder/passwords}}}}
  server_set_id = $$auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = $${if eq {$$auth2}{$${lookup {$$auth1} lsearch {$folder/passwords}}}}
  server_set_id = $$auth1
""")


class Exim:
    """Delivers to the accounts' maildirs under `mail`.

    `ports` names a port of 127.0.0.1 for each of smtp, submission (takes mail after a login only) and smtp_haproxy
    (expects a PROXY protocol header). Raises ServerUnavailable as Overlay does.
    """

    def __init__(self, folder: Path, mail: Path, accounts: Iterable[Account], ports: Mapping[str, int]) -> None:
        # This user name is compiled in.
        overlay = Overlay(folder, ["Debian-exim"])
        self.smtp: Address = ("127.0.0.1", ports["smtp"])
        self.submission: Address = ("127.0.0.1", ports["submission"])
        self.smtp_haproxy: Address = ("127.0.0.1", ports["smtp_haproxy"])
        self.log = folder / "spool" / "mainlog"
        create_owned(folder / "spool")
        configuration = overlay.etc / "exim4" / "exim4.conf"
        configuration.parent.mkdir()
        configuration.write_text(
            CONFIGURATION.substitute(ports, folder=folder, mail=mail, domain=DOMAIN, user=mail_owner().pw_name)
        )
        (folder / "passwords").write_text("".join(f"{account.login}: {account.password}\n" for account in accounts))
        self._daemon = Daemon(overlay.command("/usr/sbin/exim4", "-bdf"), folder / "output")
        self._daemon.await_ready(lambda: greets(self.smtp, self.submission) and accepts(self.smtp_haproxy))

    def stop(self) -> None:
        self._daemon.stop()
