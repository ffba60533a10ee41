"""Files in ssl directives: their absolute names, and the contents of those that are read with the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mailworker.config.rows import Value
from mailworker.config.slots import PAIRS, STRING, WORDS, once
from mailworker.config.tree import Parser

LONGEST_PASSWORD_LINE: Final = 4095  # bytes
TICKET_KEY_SIZES: Final = (48, 80)  # bytes, for AES-128 and AES-256

_DATA: Final = "data:"
_FILE_STORE: Final = "store:file:"

# The commands of SSL_CONF_cmd(3), in lower case, whose value is a file or a folder.
_FILE_COMMANDS: Final = frozenset(
    {
        "certificate",
        "privatekey",
        "serverinfofile",
        "chaincapath",
        "chaincafile",
        "verifycapath",
        "verifycafile",
        "requestcafile",
        "clientcafile",
        "requestcapath",
        "clientcapath",
        "dhparameters",
    }
)


def certificate_name(parser: Parser, name: str) -> str:
    """The absolute name of a certificate's file, or the word itself if it contains the certificate."""
    return name if name.startswith(_DATA) else parser.beside_configuration(name)


def key_name(parser: Parser, name: str) -> str:
    """The absolute name of a private key's file, or the word itself if the key is not in a file."""
    full = name if name.startswith((_DATA, "engine:", "store:")) else parser.beside_configuration(name)
    file = full.removeprefix(_FILE_STORE)
    if file.startswith("/"):
        parser.declare_secret("certificate key", file)
    return full


def shown(name: str) -> str:
    """The name of a certificate or key in messages, without the data of "data:", as that may contain a key."""
    return _DATA if name.startswith(_DATA) else name


def _folders(parser: Parser, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parser.beside_configuration(name).rstrip("/") or "/" for name in names))


def _full_value(parser: Parser, command: str, value: str) -> str:
    """The value of an `ssl_conf_command`; the name of a file becomes absolute."""
    if command.lower() == "privatekey":
        return key_name(parser, value)
    return parser.beside_configuration(value) if command.lower() in _FILE_COMMANDS else value


def _read_passwords(parser: Parser) -> tuple[bytes, ...]:
    """The lines of the directive's file; an empty file contains one empty password."""
    name = parser.beside_configuration(parser.words[1])
    parser.declare_secret("password file", name)
    lines = parser.read_file(name).split(b"\n")
    if any(len(line) > LONGEST_PASSWORD_LINE for line in lines):
        raise parser.error(f'too long line in "{name}"')
    passwords = tuple(line.removesuffix(b"\r") for line in lines)
    return tuple(password for password in passwords if password) or (b"",)


def _read_ticket_key(parser: Parser, name: str) -> bytes:
    """The content of an `ssl_session_ticket_key`."""
    name = parser.beside_configuration(name)
    parser.declare_secret("session ticket key", name)
    key = parser.read_file(name)
    if len(key) not in TICKET_KEY_SIZES:
        raise parser.error(f'"{name}" must be 48 or 80 bytes')
    return key


FILE: Final = replace(STRING, freeze=lambda parser, name: parser.beside_configuration(name) if name else None)
"""A file, None for an empty word."""

CERTIFICATE: Final = replace(STRING, freeze=lambda parser, name: certificate_name(parser, name) if name else None)
"""A certificate, None for an empty word."""

CERTIFICATES: Final = replace(
    WORDS, freeze=lambda parser, names: tuple(certificate_name(parser, name) for name in names)
)
FOLDERS: Final = replace(WORDS, freeze=_folders)
"""Folders, each once."""

KEYS: Final = replace(WORDS, freeze=lambda parser, names: tuple(key_name(parser, name) for name in names))
PASSWORDS: Final = Value(once(_read_passwords))
"""The content of a file of passwords."""

TICKET_KEYS: Final = replace(
    WORDS, freeze=lambda parser, names: tuple(_read_ticket_key(parser, name) for name in names)
)
"""The contents of key files, which are read when the server is complete."""

CONF_COMMANDS: Final = replace(
    PAIRS, freeze=lambda parser, pairs: tuple((name, _full_value(parser, name, value)) for name, value in pairs)
)
"""Commands of SSL_CONF_cmd(3) and their values."""
