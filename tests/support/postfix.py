"""A private Postfix: takes mail by SMTP, also with STARTTLS and over TLS, and delivers it into maildirs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from tests.support.certificates import Certificate
from tests.support.daemon import Address, Daemon, ServerUnavailable, accepts, find_program, greets, mail_owner
from tests.support.mailbox import DOMAIN, Account

SUBMISSION_RESTRICTIONS = "permit_sasl_authenticated,reject"

MAIN = Template("""\
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
maillog_file = $folder/log
maillog_file_prefixes = $folder
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = backend.$domain
mydestination =
mynetworks =
alias_maps =
alias_database =
in_flow_delay = 0
virtual_mailbox_domains = $domain
virtual_mailbox_base = $mail
virtual_mailbox_maps = texthash:$folder/mailboxes
virtual_uid_maps = static:$uid
virtual_gid_maps = static:$gid
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = $sasl
smtpd_sasl_authenticated_header = yes
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtpd_client_port_logging = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = $certificate
smtpd_tls_key_file = $key
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 2
""")

MASTER = Template("""\
127.0.0.1:$smtp inet n - n - - smtpd
127.0.0.1:$submission inet n - n - - smtpd
  -o smtpd_recipient_restrictions=$submission_restrictions
127.0.0.1:$smtps inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
127.0.0.1:$submissions inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_recipient_restrictions=$submission_restrictions
127.0.0.1:$smtp_haproxy inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
127.0.0.1:$trusting inet n - n - - smtpd
  -o mynetworks=127.0.0.0/8
  -o smtpd_sasl_auth_enable=no
  -o smtpd_relay_restrictions=permit_mynetworks,reject
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
127.0.0.1:$login_only inet n - n - - smtpd
  -o smtpd_sasl_mechanism_filter=login
  -o smtpd_recipient_restrictions=$submission_restrictions
127.0.0.1:$tls_only inet n - n - - smtpd
  -o smtpd_tls_auth_only=yes
  -o smtpd_recipient_restrictions=$submission_restrictions
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
""")


class Postfix:
    """Delivers to the accounts' maildirs under `mail`.

    `ports` names a port of 127.0.0.1 for each of PORTS: smtp (takes mail for the accounts from any client), submission
    (only after a login, by AUTH or by XCLIENT), smtps and submissions (the same over TLS), smtp_haproxy (expects a
    PROXY protocol header), trusting (takes mail of this machine to anywhere, without AUTH), login_only and tls_only
    (like submission, but one offers no PLAIN, and the other AUTH only over TLS). `sasl` is Dovecot's service for AUTH,
    `certificate` what clients get. Raises ServerUnavailable without Postfix or without root, which its master needs.
    """

    PORTS = ("smtp", "smtps", "submission", "submissions", "smtp_haproxy", "trusting", "login_only", "tls_only")

    def __init__(
        self,
        folder: Path,
        mail: Path,
        accounts: Iterable[Account],
        sasl: Path,
        ports: Mapping[str, int],
        certificate: Certificate,
    ) -> None:
        program = find_program("postfix")
        if os.geteuid() != 0:
            raise ServerUnavailable("only root can start Postfix")
        self.log = folder / "log"
        self.smtp: Address = ("127.0.0.1", ports["smtp"])
        self.smtps: Address = ("127.0.0.1", ports["smtps"])
        self.submission: Address = ("127.0.0.1", ports["submission"])
        self.submissions: Address = ("127.0.0.1", ports["submissions"])
        self.smtp_haproxy: Address = ("127.0.0.1", ports["smtp_haproxy"])
        self.trusting: Address = ("127.0.0.1", ports["trusting"])
        self.login_only: Address = ("127.0.0.1", ports["login_only"])
        self.tls_only: Address = ("127.0.0.1", ports["tls_only"])
        self._queue = folder / "queue"
        configuration = folder / "configuration"
        _create_folders(folder, configuration)
        owner = mail_owner()
        mailboxes = "".join(f"{account.login} {account.login}/\n" for account in accounts)
        (folder / "mailboxes").write_text(mailboxes)
        (configuration / "main.cf").write_text(
            MAIN.substitute(
                folder=folder,
                mail=mail,
                domain=DOMAIN,
                sasl=sasl,
                uid=str(owner.pw_uid),
                gid=str(owner.pw_gid),
                certificate=certificate.certificate,
                key=certificate.key,
            )
        )
        (configuration / "master.cf").write_text(
            MASTER.substitute(ports, submission_restrictions=SUBMISSION_RESTRICTIONS)
        )
        subprocess.run([program, "-c", str(configuration), "check"], check=True, capture_output=True)
        self._daemon = Daemon([_master(configuration), "-s", "-c", str(configuration)], folder / "output")
        self._daemon.await_ready(self._is_ready)

    def stop(self) -> None:
        self._daemon.stop()

    def has_empty_queue(self) -> bool:
        """Whether no message is on its way any more."""
        folders = ("maildrop", "incoming", "active", "deferred")
        return not any(path.is_file() for name in folders for path in (self._queue / name).rglob("*"))

    def _is_ready(self) -> bool:
        return greets(self.smtp, self.submission) and accepts(self.smtps, self.smtp_haproxy)


def _create_folders(folder: Path, configuration: Path) -> None:
    """Create its folders; Postfix demands that root owns all but its data folder."""
    for path in (folder, configuration, folder / "queue", folder / "data"):
        path.mkdir(mode=0o755)
    shutil.chown(folder / "data", "postfix")


def _master(configuration: Path) -> str:
    """Postfix's master process; started directly, it stays in our foreground."""
    query = [find_program("postconf"), "-h", "-c", str(configuration), "daemon_directory"]
    folder = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    return find_program("master", folder)
