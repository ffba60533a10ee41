"""The costs of certificates for thousands of names: test, start, memory, the choice of one, and a handshake.

nginx has no counterpart for mail, so its column is empty.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench.arena import Arena, Duel
from bench.measure import Goal, Measure
from bench.processes import Tree
from bench.sites import test_seconds
from mailworker.config.server_name import NameTable
from mailworker.tls.context import TlsContext
from mailworker.tls.folder import find_pairs
from mailworker.tls.folder_scan import FolderScan
from mailworker.tls.virtual_servers import ProtocolServers, VirtualServers
from tests.oracle.proxies import mailworker_command
from tests.support.certificates import Certificate
from tests.support.daemon import accepts, running
from tests.support.settings import ssl_settings
from tests.tls.peers import Pair, client_context

NAMES = 10_000
CHOICES = 50_000
HANDSHAKES = 400
HOT = 100  # names that clients ask for
ROUNDS = 3
_SETTLED = 5.0  # seconds in which the file reader has checked the folder once


@dataclass(frozen=True, slots=True)
class Folders:
    """Certificates of `NAMES` names, two in each, and a folder with one certificate."""

    many: Path
    one: Path
    default: Certificate


def make_folders(folder: Path) -> Folders:
    """Write the folders in certbot's layout without its links; ECDSA keys, an intermediate behind each certificate."""
    key = generate_private_key(SECP256R1())
    chain = _certificate("Intermediate", (), key, key)
    for number in range(NAMES):
        _write(folder / "many" / f"mail{number}.example", number, key, chain)
    _write(folder / "one" / "mail0.example", 0, key, chain)
    place = folder / "one" / "mail0.example"
    return Folders(folder / "many", folder / "one", Certificate(place / "fullchain.pem", place / "privkey.pem"))


def _write(folder: Path, number: int, issuer: EllipticCurvePrivateKey, chain: bytes) -> None:
    key = generate_private_key(SECP256R1())
    names = (f"mail{number}.example", f"imap{number}.example")
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(_certificate(names[0], names, key, issuer) + chain)
    (folder / "privkey.pem").touch(mode=0o600)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "privkey.pem").write_bytes(private)


def _certificate(
    name: str, names: tuple[str, ...], key: EllipticCurvePrivateKey, issuer: EllipticCurvePrivateKey
) -> bytes:
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Intermediate")]))
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=90))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
    return builder.sign(issuer, SHA256()).public_bytes(Encoding.PEM)


class Samples:
    """The folders, which all rows share, and the figures of each row."""

    def __init__(self) -> None:
        self._folders: Folders | None = None

    def folders(self, arena: Arena) -> Folders:
        if self._folders is None:
            self._folders = make_folders(arena.new_folder("certificates"))
        return self._folders

    def test(self, arena: Arena) -> Duel:
        """Seconds of CPU of `-t`."""
        return self._repeat(arena, lambda folder, folders: test_seconds(_command(arena, folder, folders.many)))

    def start(self, arena: Arena) -> Duel:
        """Seconds of CPU until it serves, beyond those with one name."""
        return self._repeat(arena, lambda folder, folders: _start(arena, folder, folders)[0])

    def memory(self, arena: Arena) -> Duel:
        """Kilobytes of a pair in master and worker together."""
        return self._repeat(arena, lambda folder, folders: _start(arena, folder, folders)[1])

    def choice(self, arena: Arena) -> Duel:
        """Microseconds to find the pairs of a name, wildcards among them."""
        folder = _scan(self.folders(arena).many).folder
        names = [name for number in range(NAMES) for name in (b"imap%d.example" % number, b"a.b%d.example" % number)]

        def choose(_folder: Path, _folders: Folders) -> float:
            began = time.process_time()
            for number in range(CHOICES):
                find_pairs((folder,), names[number % len(names)])
            return (time.process_time() - began) / CHOICES * 1e6

        return self._repeat(arena, choose)

    def handshake(self, arena: Arena) -> Duel:
        """The server's CPU for a handshake, as a multiple of that with one certificate; medians of many."""
        folders = self.folders(arena)
        plain = TlsContext.build(ssl_settings(folders.default), b"imap")
        settings = ssl_settings(folders.default, certificate_directories=(str(folders.many),))
        named = TlsContext.build(settings, b"imap", folders=(_scan(folders.many).folder,))
        room: ProtocolServers[TlsContext] = ProtocolServers((b"imap",), NameTable(), named)
        door = VirtualServers([room], lambda host: host, lambda host: b"")
        duel = Duel([0.0], [])
        names = [f"mail{number * 7919 % NAMES}.example" for number in range(HOT)]
        for name in names:  # a key's first signature takes longer, however few keys there are
            _server_seconds(door.selection(), name)
        for _ in range(ROUNDS):
            one, many = [], []
            for number in range(HANDSHAKES):
                one.append(_server_seconds(plain, "mail0.example"))
                many.append(_server_seconds(door.selection(), names[number % HOT]))
            duel.ours.append(median(many) / median(one))
        return duel

    def _repeat(self, arena: Arena, measure: Callable[[Path, Folders], float]) -> Duel:
        folders = self.folders(arena)
        return Duel([0.0], [measure(arena.new_folder("mailworker"), folders) for _ in range(ROUNDS)])


def _scan(path: Path) -> FolderScan:
    scan = FolderScan(str(path))
    assert [warning for warning in scan.load(None) if warning] == []
    return scan


def _command(arena: Arena, folder: Path, certificates: Path) -> list[str]:
    text = f"""
        worker_processes 1; pid proxy.pid; error_log error.log info; events {{}}
        mail {{
            auth_http 127.0.0.1:9; ssl_certificate_directory {certificates}; server_name mail0.example;
            server {{ listen 127.0.0.1:{arena.ports["names"]} ssl; protocol imap; }}
        }}
    """
    return mailworker_command(folder, text)


def _start(arena: Arena, folder: Path, folders: Folders) -> tuple[float, float]:
    """What many names cost beyond one: seconds of CPU of a start, and kilobytes for each name."""
    cpu, memory, address = [], [], ("127.0.0.1", arena.ports["names"])
    for certificates in (folders.one, folders.many):
        place = folder / certificates.name
        place.mkdir()
        with running(_command(arena, place, certificates), place / "output", lambda: accepts(address)) as daemon:
            tree = Tree(daemon.pid, 1)
            cpu.append(tree.cpu_of_master() / 1e9)
            time.sleep(_SETTLED)
            memory.append(tree.pss())
    return cpu[1] - cpu[0], (memory[1] - memory[0]) / NAMES / 1024


def _server_seconds(context: object, name: str) -> float:
    """CPU of the server's steps of one handshake."""
    pair = Pair(context, client_context(), server_name=name)  # type: ignore[arg-type]
    seconds, ours, theirs = 0.0, False, False
    try:
        while not (ours and theirs):
            if not theirs:
                try:
                    pair.client.do_handshake()
                    theirs = True
                except ssl.SSLWantReadError:
                    pass
            began = time.thread_time()
            ours = ours or pair.server.handshake() is None
            seconds += time.thread_time() - began
        return seconds
    finally:
        pair.close()


def measures() -> Iterator[Measure]:
    samples = Samples()
    for name, title, unit, goal, run in (
        ("names-test", f"CPU of -t with certificates of {NAMES} names", "s", 10.0, samples.test),
        ("names-start", f"CPU of a start with {NAMES} names, more than with one", "s", 3.0, samples.start),
        ("names-memory", f"PSS of master and worker for a certificate, of {NAMES}", "KB", 25.0, samples.memory),
        ("names-choice", f"CPU of a choice among {NAMES} names", "us", 5.0, samples.choice),
        ("names-handshake", f"CPU of a handshake with {NAMES} names, against one certificate", "x", 1.02,
         samples.handshake),
    ):  # fmt: skip
        yield Measure(name, title, unit, Goal(goal, "figure"), run)
