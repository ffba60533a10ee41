"""Folders of certificates in the layouts of the programs that make them."""

from __future__ import annotations

from pathlib import Path

from tests.support.certificates import Certificate, CertificateAuthority, PrivateKey, ecdsa_key


class Certbot:
    """`live` leads by links to `archive`, which keeps all that there was: as in /etc/letsencrypt."""

    def __init__(self, folder: Path, authority: CertificateAuthority) -> None:
        self._archive, self.live = folder / "archive", folder / "live"
        self._authority = authority
        self._count: dict[str, int] = {}
        self.live.mkdir(parents=True)
        (self.live / "README").write_text("This directory contains your keys and certificates.\n")

    def issue(self, name: str, *others: str, key: PrivateKey | None = None) -> None:
        """The first time or once more: new files in the archive, then links in place of the old ones, one by one."""
        count = self._count[name] = self._count.get(name, 0) + 1
        archive, live = self._archive / name, self.live / name
        for folder in (archive, live):
            folder.mkdir(parents=True, exist_ok=True)
        made = self._authority.issue_server(f"{name}{count}", key or ecdsa_key(), (name, *others))
        issuer = self._authority.path.read_bytes()
        contents = {
            "privkey": made.key.read_bytes(),
            "cert": made.certificate.read_bytes(),
            "chain": issuer,
            "fullchain": made.certificate.read_bytes() + issuer,
        }
        for part, content in contents.items():
            file = archive / f"{part}{count}.pem"
            file.touch(mode=0o600)
            file.write_bytes(content)
        for part in ("cert", "privkey", "chain", "fullchain"):
            link = live / f"{part}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/{name}/{part}{count}.pem")
        (live / "README").write_text("A README.\n")


def put(certificate: Certificate, folder: Path, certificate_name: str, key_name: str = "") -> None:
    """A pair by names of its own, each file moved into its place; without a name for the key both are in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    content, key = certificate.certificate.read_bytes(), certificate.key.read_bytes()
    files = {certificate_name: content, key_name: key} if key_name else {certificate_name: content + key}
    for name, data in files.items():
        fresh = folder / f".{name}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(data)
        fresh.rename(folder / name)


class Secret:
    """A secret of Kubernetes that is mounted as a volume: all files change at once, by one link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        folder.mkdir(parents=True)

    def write(self, certificate: Certificate) -> None:
        self._count += 1
        data = self.folder / f"..2026_{self._count}"
        put(certificate, data, "tls.crt", "tls.key")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(data.name)
        fresh.rename(self.folder / "..data")
        for name in ("tls.crt", "tls.key"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        old = self.folder / f"..2026_{self._count - 1}"
        if old.exists():
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
