"""A recipe as its page has it, run on its own ports of a loopback address that nobody else has."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from random import randrange

from tests.docs.test_configurations import BLOCK, ROOT
from tests.support.backend import ScriptedServer
from tests.support.certificates import Certificate
from tests.support.daemon import Address, accepts
from tests.support.peer import Peer
from tests.support.process import Mailworker
from tests.tls.peers import client_context

RECIPES = ROOT / "docs" / "recipes"
LISTEN = re.compile(r"\blisten (\d+)(?=[ ;])")


def shown(page: str, number: int = 0) -> str:
    """A configuration of a recipe's page."""
    return str(BLOCK.findall((RECIPES / page).read_text(encoding="utf-8"))[number])


class Recipe:
    """`text` with `changes`, each of which has to be there; `certificate` is what servers show."""

    def __init__(self, folder: Path, text: str, changes: Mapping[str, str], certificate: Certificate) -> None:
        for path in (folder, *folder.parents[:2]):
            path.chmod(path.stat().st_mode | 0o711)  # workers may be another user
        self.host = f"127.{randrange(1, 255)}.{randrange(1, 255)}.{randrange(1, 255)}"
        ports = [int(port) for port in LISTEN.findall(text)]
        text = LISTEN.sub(rf"listen {self.host}:\1", text)
        for documented, meant in changes.items():
            assert documented in text, documented
            text = text.replace(documented, meant)
        assert "192.0.2." not in text
        self.mailworker = Mailworker(folder, text.replace("error_log stderr", "error_log logs/error.log"))
        for name, path in (("cert.pem", certificate.certificate), ("cert.key", certificate.key)):
            (folder / "conf" / name).write_bytes(path.read_bytes())
            (folder / "conf" / name).chmod(0o600)
        self._ports = ports

    def start(self) -> None:
        """Start it and wait until all its ports are open."""
        self.mailworker.start()
        self.mailworker.await_true(lambda: all(accepts(self.address(port)) for port in self._ports), "listening")

    def address(self, port: int) -> Address:
        """Where the server listens that has this port on the page."""
        return self.host, port

    def connect(self, port: int, context: ssl.SSLContext | None = None, *, tls: bool = True) -> Peer:
        """A client of a port, by TLS unless told otherwise; the greeting is not read yet."""
        client = Peer.connect(self.address(port))
        if tls:
            client.start_tls(context or client_context())
        return client

    def stop(self) -> None:
        self.mailworker.stop()


def credentials(user: bytes, password: bytes) -> bytes:
    """The response of PLAIN."""
    return b64encode(b"\0%b\0%b" % (user, password))


def imap_login(client: Peer, user: bytes, password: bytes) -> bytes:
    """Log in at a greeting; returns the answer."""
    client.line()
    client.send(b"a LOGIN %b %b\r\n" % (user, password))
    return client.line()


def smtp_login(client: Peer, user: bytes, password: bytes) -> bytes:
    """Log in at a greeting; returns the answer."""
    client.line()
    client.send(b"EHLO client.example\r\n")
    while not client.line().startswith(b"250 "):
        pass
    client.send(b"AUTH PLAIN %b\r\n" % credentials(user, password))
    return client.line()


class Backend(ScriptedServer):
    """A mail server that lets everybody in and answers what it takes to get there; `upgrades` counts STARTTLS."""

    def __init__(self, certificate: Certificate) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self.upgrades = 0
        super().__init__(self._serve)

    def said(self, number: int = -1) -> bytes:
        """What a connection has brought so far."""
        return self.peers[number].received

    def _serve(self, peer: Peer) -> None:
        raise NotImplementedError

    def _upgrade(self, peer: Peer, go_ahead: bytes) -> None:
        peer.send(go_ahead)
        peer.serve_tls(self._context)
        self.upgrades += 1


class ImapBackend(Backend):
    def _serve(self, peer: Peer) -> None:
        peer.send(b"* OK backend\r\n")
        while line := peer.line():
            tag, _, command = line.strip().partition(b" ")
            verb = command.split(b" ")[0].upper()
            if verb == b"STARTTLS":
                self._upgrade(peer, tag + b" OK go\r\n")
                continue
            if verb == b"CAPABILITY":
                peer.send(b"* CAPABILITY IMAP4rev1 STARTTLS ID AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER\r\n")
            elif verb == b"AUTHENTICATE":
                peer.send(b"+ \r\n")
                peer.line()
            while (literal := re.search(rb"\{(\d+)\}\Z", command)) is not None:
                peer.send(b"+ go\r\n")
                command = peer.skip(int(literal[1])) + peer.line().rstrip()
            peer.send(tag + b" OK done by IMAP\r\n")


class SmtpBackend(Backend):
    def _serve(self, peer: Peer) -> None:
        peer.send(b"220 backend\r\n")
        encrypted = False
        while line := peer.line():
            verb = line.split()[0].upper()
            if verb == b"EHLO":
                starttls = b"" if encrypted else b"250-STARTTLS\r\n"
                peer.send(b"250-backend\r\n%b250-XCLIENT NAME ADDR LOGIN\r\n250 AUTH PLAIN LOGIN\r\n" % starttls)
            elif verb == b"STARTTLS":
                self._upgrade(peer, b"220 go\r\n")
                encrypted = True
            elif verb == b"XCLIENT":
                peer.send(b"220 backend\r\n")
            elif verb == b"AUTH":
                peer.send(b"235 2.7.0 done by SMTP\r\n")
            elif verb == b"QUIT":
                peer.send(b"221 2.0.0 done by SMTP\r\n")
            else:
                peer.send(b"250 2.0.0 done by SMTP\r\n")
