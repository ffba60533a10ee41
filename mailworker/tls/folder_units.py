"""Units, the files of a certificate folder that belong together, and the pairs of certificate and key in them."""

from __future__ import annotations

import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mailworker.log.line import describe
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.key import Key
from mailworker.native.tls.pair import KEY_FORMS, certificate_from, key_from, matches
from mailworker.native.tls.queue import OpenSslError
from mailworker.tls.folder_files import File, Unusable, read

# File names that tell a file's role and not its host: certbot, acme.sh, cert-manager.
_ROLES: Final = frozenset(
    ("ca", "cert", "certificate", "chain", "fullchain", "bundle", "key", "privkey", "private", "tls")
)
# Roles that are not needed if another file has the full chain.
_SPARE: Final = frozenset(["ca", "cert", "chain"])
# In a larger unit, files are paired only by their names.
_MOST: Final = 64

# Of any file each byte is looked at a few times only: a body ends at the next five hyphens, whatever these begin.
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s([^-]*(?:-(?!----)[^-]*)*)-----END \1-----")
_CERTIFICATE: Final = (b"CERTIFICATE", b"X509 CERTIFICATE")


class PairData(NamedTuple):
    """A certificate, its chain and its key, in DER; `label` is the key's PEM label. `repr` shows only the path."""

    path: str
    key_path: str
    leaf: bytes
    chain: tuple[bytes, ...]
    label: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"PairData({self.path!r})"


class Loaded(NamedTuple):
    """A pair that was read: `data` for other processes, and OpenSSL's objects in this one."""

    data: PairData
    leaf: Certificate
    key: Key


class Found(NamedTuple):
    """The pairs in a unit's files; `faults` gives the reason for each path that cannot be used.

    `unread` tells whether the system refused to read one of them, which may be right later.
    """

    pairs: list[Loaded]
    faults: dict[str, str]
    unread: bool = False


def units(files: Mapping[str, Sequence[File]]) -> dict[str, tuple[File, ...]]:
    """The units, by their names: files that may belong together, as "NAME.crt" and "NAME.key", or a whole folder."""
    found: dict[str, tuple[File, ...]] = {}
    for folder, members in files.items():
        if len(members) <= _MOST and any(_role(file.path) in _ROLES for file in members):
            found[f"{folder}/"] = tuple(members)
        else:
            found.update(_by_stem(folder, members))
    return found


def units_left_out(names: Iterable[str], faults: Mapping[str, str]) -> set[str]:
    """Those of the units `names` that files and folders which were left out, the keys of `faults`, may belong to."""
    left_out = {unit for path in faults for unit in (f"{path.rpartition('/')[0]}/", path.rpartition(".")[0])}
    return {name for name in names if name in left_out or any(above in faults for above in _above(name))}


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _by_stem(folder: str, files: Sequence[File]) -> dict[str, tuple[File, ...]]:
    stems: dict[str, list[File]] = {}
    for file in files:
        stems.setdefault(file.path.rpartition("/")[2].rpartition(".")[0], []).append(file)
    alone = [members[0] for members in stems.values() if len(members) == 1 and not members[0].path.endswith(".pem")]
    found = {f"{folder}/{stem}": tuple(members) for stem, members in stems.items() if members[0] not in alone}
    if alone:
        found[f"{folder}/"] = tuple(alone)
    return found


def wanted(names: list[str]) -> list[str]:
    """The files of a folder to be read: beside a `fullchain`, certbot's and acme.sh's other certificates are spare."""
    roles = [_role(name) for name in names]
    if "fullchain" not in roles:
        return names
    return [name for name, role in zip(names, roles, strict=True) if role not in _SPARE]


def _role(name: str) -> str:
    """The role in a file name, without the number of certbot's archive."""
    return name.rpartition("/")[2].rpartition(".")[0].rstrip("0123456789").lower()


class _Contents:
    """The certificates and keys in a unit's files."""

    __slots__ = ("certificates", "faults", "keys", "unread")

    def __init__(self, files: Iterable[File]) -> None:
        self.certificates: list[tuple[File, Certificate, list[bytes]]] = []
        self.keys: list[tuple[File, Key, bytes, bytes]] = []
        self.faults: dict[str, str] = {}
        self.unread = False
        for file in files:
            try:
                self._take(file, read(file))
            except Unusable as fault:
                self.faults[file.path] = str(fault)
            except OSError as error:
                self.faults[file.path] = f"could not be read {describe(error)}"
                self.unread = True
            except (OpenSslError, NotBase64):  # whose texts may quote the content
                self.faults[file.path] = "holds a broken certificate or key"

    def _take(self, file: File, content: bytes) -> None:
        blocks = _BLOCK.findall(content)
        chain = [a2b_base64(body) for label, body in blocks if label in _CERTIFICATE]
        keys = [(label, body) for label, body in blocks if label.endswith(b"PRIVATE KEY")]
        if not chain and not keys:
            raise Unusable("holds no certificate and no key")
        for label, body in keys:
            if label not in KEY_FORMS or b"ENCRYPTED" in body:
                raise Unusable("holds a key that needs a password, or is of no known kind")
            der = a2b_base64(body)
            self.keys.append((file, key_from(label, der), label, der))
        if chain:
            self.certificates.append((file, certificate_from(chain[0]), chain))


def pairs_of(files: Sequence[File]) -> Found:
    """The pairs in the files of a unit: certificates and keys that match, whatever their names."""
    if len(files) > _MOST:
        names = {
            file.path: "cannot be told from the others of its folder: NAME.crt goes with NAME.key" for file in files
        }
        return Found([], names)
    contents = _Contents(files)
    pairs: dict[bytes, Loaded] = {}
    used: set[str] = set()
    for file, key, label, der in contents.keys:
        fitting = [each for each in contents.certificates if matches(each[1], key)]
        for certificate, leaf, chain in fitting:
            used.add(certificate.path)
            other = pairs.get(chain[0])
            if other is None or len(other.data.chain) < len(chain) - 1:
                data = PairData(certificate.path, file.path, chain[0], tuple(chain[1:]), label, der)
                pairs[chain[0]] = Loaded(data, leaf, key)
        if not fitting and not contents.faults:
            contents.faults[file.path] = "is the key of no certificate beside it"
    for certificate, _, _ in contents.certificates:
        if certificate.path not in used and _role(certificate.path) not in _SPARE:
            contents.faults[certificate.path] = "is a certificate without its key"
    return Found(list(pairs.values()), contents.faults, contents.unread)
