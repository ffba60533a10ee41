"""A machine with a real Dovecot and Postfix, which boxes with networks of their own reach by an address."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import Address, mail_owner
from tests.support.dovecot import Dovecot, DovecotTls
from tests.support.mailbox import create_account, make_message
from tests.support.ports import Ports
from tests.support.postfix import Postfix
from tests.support.systemd_box import socket_in_network

HOST = "192.0.2.7"
_BOX = "192.0.2.1"


class MailHost:
    """Serves the mailbox of anna@example.test, whose password is `secret`, by IMAP, POP3 and submission.

    The servers listen on this machine's loopback address; their ports at HOST are in a separate network.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        mail = folder / "mail"
        mail.mkdir()
        os.chown(mail, mail_owner().pw_uid, mail_owner().pw_gid)
        self.account = create_account(mail, "anna", "secret")
        self._listeners: list[socket.socket] = []
        self._ports = Ports()
        authority = CertificateAuthority(folder)
        certificate = authority.issue_server("backend", ecdsa_key(), (HOST,))
        tls = DovecotTls(certificate, "unused.example.test", certificate, authority.path)
        self._dovecot = Dovecot(
            folder / "dovecot", mail, [self.account], {name: self._ports[name] for name in Dovecot.PORTS}, tls
        )
        ports = {name: self._ports[name] for name in Postfix.PORTS}
        self._postfix = Postfix(folder / "postfix", mail, [self.account], self._dovecot.sasl, ports, certificate)
        # It ends with its standard input, and so with us, however we end.
        self._network = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; read end"], stdin=-1, stdout=-1)
        assert self._network.stdout is not None
        self._network.stdout.readline()

    def deliver(self, subject: str) -> None:
        self.account.deliver(make_message(subject))

    def join(self, pid: int) -> None:
        """Make this host reachable from the network of a process, which has no other."""
        ours, theirs = self._network.pid, pid
        _ip(ours, "link", "add", f"box{pid}", "type", "veth", "peer", "name", "eth0", "netns", str(theirs))
        _ip(ours, "address", "replace", f"{HOST}/24", "dev", f"box{pid}")
        _ip(ours, "link", "set", f"box{pid}", "up")
        _ip(theirs, "address", "add", f"{_BOX}/24", "dev", "eth0")
        _ip(theirs, "link", "set", "eth0", "up")
        if not self._listeners:
            servers = {143: self._dovecot.imap, 110: self._dovecot.pop3, 587: self._postfix.submission}
            self._listeners = [self._listen(port, server) for port, server in servers.items()]

    def stop(self) -> None:
        self._network.communicate()
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._postfix.stop()
        self._dovecot.stop()
        self._ports.close()

    def _listen(self, port: int, server: Address) -> socket.socket:
        listener = socket_in_network(self._network.pid, socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
        return listener


def _ip(pid: int, *arguments: str) -> None:
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *arguments], check=True)


def _accept(listener: socket.socket, server: Address) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            backend = socket.create_connection(server)
            for ends in ((client, backend), (backend, client)):
                threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
