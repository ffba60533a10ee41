"""The CPU time of single parts, measured in this process.

    python -m bench.parts [PART...]

Parts are login, passwords, users, regex, map, keys and lines. Runs for some ten seconds.
"""

from __future__ import annotations

import argparse
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailworker.errors import ProtocolError
from mailworker.log.handing import HandingSink
from mailworker.log.log import Log
from mailworker.log.losses import Losses
from mailworker.mail.authentication.auth_http import READING
from mailworker.mail.authentication.passwords import read_password
from mailworker.mail.authentication.user_table import UserTable, build
from mailworker.native.crypt import CRYPT
from mailworker.native.regex import Regex
from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.pair import certificate_from, key_from
from mailworker.process.steps import at_once
from mailworker.variables.map import Map
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from mailworker.wire.auth_answers import Answers
from mailworker.wire.imap import ImapParser, usual_login
from tests.support.certificates import CertificateAuthority, ecdsa_key, rsa_key
from tests.support.evil_patterns import EVIL
from tests.variables.facts import Session
from tests.variables.hosts import hosts

ROUNDS: Final = 7  # the best one counts
LEAST: Final = 0.01  # seconds of one round
NAMES: Final = 100_000

Row = tuple[str, float]
"""What was done, and the microseconds of CPU for it."""

ANSWER: Final = b"HTTP/1.0 200 OK\r\n%bAuth-Status: OK\r\nAuth-Server: 192.0.2.10\r\nAuth-Port: 143\r\n\r\n"
OTHERS: Final = (
    b"Date: Sun, 29 Nov 2026 08:00:00 GMT\r\nServer: nginx\r\nContent-Type: text/plain\r\nConnection: close\r\n"
)
LOGIN: Final = b'a1 LOGIN "user@example.com" "secret"\r\n'
LINE: Final = b"." * 150 + b"\n"

# Checking a hash that matches no password costs as much as checking any other.
PASSWORDS: Final = {
    "SSHA256": b"{SSHA256}" + b64encode(bytes(36)),
    "MD5-CRYPT": b"$1$saltsalt$" + b"." * 22,
    "APR1, htpasswd's default": b"$apr1$saltsalt$" + b"." * 22,
    "PBKDF2, 5,000 rounds": b"{PBKDF2}$1$saltsalt$5000$" + b"0" * 40,
    "SHA512-CRYPT, 5,000 rounds": b"$6$saltsalt$" + b"." * 86,
    "SHA256-CRYPT, 5,000 rounds": b"$5$saltsalt$" + b"." * 43,
    "BLF-CRYPT with cost 5": b"$2y$05$" + b"." * 53,
    "BLF-CRYPT with cost 6": b"$2y$06$" + b"." * 53,
    "SHA512-CRYPT, 656,000 rounds": b"$6$rounds=656000$saltsalt$" + b"." * 86,
}


def cost(step: Callable[[], object]) -> float:
    """Microseconds of CPU time that `step` takes."""
    times = 1
    while (taken := spent(step, times)) < LEAST:
        times *= 4
    return min([taken, *(spent(step, times) for _ in range(ROUNDS - 1))]) / times * 1e6


def spent(step: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        step()
    return time.process_time() - start


def login() -> Iterator[Row]:
    """What a login by auth_http has read and remembered."""
    for name, others in (("three headers", b""), ("the same with Date, Server, Content-Type, Connection", OTHERS)):
        answer, answers = ANSWER % others, Answers(reading=READING)
        yield f"answer of the auth service, {name}: parsed", cost(partial(parsed, answer))
        for told, headers in (("", b""), (" but for its Auth-User", b"Auth-User: demo\r\n\r\n")):
            data = answer[:-2] + headers if headers else answer
            answers.read(data)
            step = partial(READING.recalled, answers.known, data, answers.tell)
            yield f"answer of the auth service, {name}: remembered{told}", cost(step)
    yield "the usual LOGIN by one expression", cost(partial(usual_login, LOGIN))
    yield "the same by the parser", cost(commanded)


def parsed(answer: bytes) -> object:
    parser = Answers().parser()
    parser.feed(answer)
    return parser.next()


def commanded() -> object:
    parser = ImapParser(4096)
    parser.feed(LOGIN)
    return parser.next()


def passwords() -> Iterator[Row]:
    """A check of a password of eight letters, by the scheme in its row."""
    for name, text in PASSWORDS.items():
        stored = read_password(text)
        yield name, cost(partial(stored.matches, b"password"))
    if CRYPT.hash(b"x", b"$y$j9T$saltsalt$") is not None:
        yield "yescrypt, $y$j9T$", cost(partial(CRYPT.hash, b"password", b"$y$j9T$saltsalt$"))


def users() -> Iterator[Row]:
    """A file of many users, for each of them, and a lookup in its table."""
    hashed = PASSWORDS["SHA512-CRYPT, 5,000 rounds"]
    text = b"".join(b"user%d@example.com:%b::::::host=192.0.2.10\n" % (each, hashed) for each in range(NAMES))
    seconds, content = time.process_time(), at_once(build(text, lambda *_: None))
    yield f"read, one of {NAMES}", (time.process_time() - seconds) / NAMES * 1e6
    table = UserTable(content)
    yield "seen to be as before", cost(partial(table.is_of, text)) / NAMES
    yield "found", cost(partial(table.find, b"user77@example.com"))
    yield "not found", cost(partial(table.find, b"nobody@example.com"))


def regex() -> Iterator[Row]:
    """A match by PCRE2 with its limit of steps."""
    domain = Regex(rb"^(?<user>[^@]+)@(?<domain>.+)$")
    yield "a usual match with two groups", cost(partial(domain.search, b"user@example.com"))
    for pattern, subject in EVIL:
        evil = Regex(pattern)
        yield f"{pattern.decode()} and {len(subject)} bytes", cost(partial(given_up, evil, subject))
    python = re.compile(rb"^(a+)+$")
    yield "Python's own engine: ^(a+)+$ and 23 bytes", cost(partial(python.search, b"a" * 22 + b"!"))


def given_up(expression: Regex, subject: bytes) -> None:
    with suppress(ProtocolError):
        expression.search(subject)


def map_() -> Iterator[Row]:
    """A lookup in a `map` of many exact names."""
    names = {f"user{number}@example.com": b"192.0.2.10:143" for number in range(NAMES)}
    find = Variables({"m": Map(parse(b"$remote_user"), table=hosts(names))}).find("m")
    known, unknown = (Session(remote_user=user) for user in (b"user77@example.com", b"nobody@example.com"))
    yield f"one of {NAMES} names", cost(partial(find, known))
    yield "none of them", cost(partial(find, unknown))
    yield "for comparison, an attribute", cost(lambda: known.remote_user)


def keys() -> Iterator[Row]:
    """A private key, and the certificate with the public one, read from DER; OpenSSL's own way reads PEM."""
    for name, label, key in (("RSA", b"RSA PRIVATE KEY", rsa_key()), ("ECDSA", b"EC PRIVATE KEY", ecdsa_key())):
        for form, known in ((PrivateFormat.TraditionalOpenSSL, label), (PrivateFormat.PKCS8, b"PRIVATE KEY")):
            der = in_der(key, form)
            yield f"{name}, {known.decode()}", cost(partial(key_from, known, der))
        with TemporaryDirectory() as folder:
            file = str(CertificateAuthority(Path(folder)).issue_server("a", key, ("a.example",)).certificate)
            yield f"{name}, certificate", cost(partial(certificate_from, load_certificates(file)[0].der))
            yield f"{name}, certificate, OpenSSL's own way", cost(partial(load_certificates, file))


def in_der(key: RSAPrivateKey | EllipticCurvePrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.DER, form, NoEncryption())


def lines() -> Iterator[Row]:
    """A line of an access log on its way to the log writer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        sink = HandingSink(ours, 1, Losses(Log(()), lambda _seconds, _action: None))
        buffer = bytearray(4096)

        def handed() -> None:
            sink.send(0, b"", LINE)
            theirs.recv_into(buffer)

        yield "handed over, and received without being written", cost(handed)


PARTS: Final[dict[str, Callable[[], Iterator[Row]]]] = {
    "login": login, "passwords": passwords, "users": users, "regex": regex, "map": map_, "keys": keys, "lines": lines,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="What single parts take, in microseconds of CPU time.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    for name in parser.parse_args().parts or PARTS:
        print(f"{name}: {PARTS[name].__doc__}")
        for what, figure in PARTS[name]():
            print(f"{figure:12.3f} us  {what}")


if __name__ == "__main__":
    main()
