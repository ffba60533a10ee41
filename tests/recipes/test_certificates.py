"""certbot's hook hands a renewed certificate over; acme.sh's reload command takes one, too."""

from __future__ import annotations

import os
import re
import shlex
import signal
import ssl
import subprocess
from pathlib import Path

from cryptography import x509

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Backend, Recipe
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.daemon import wait_until

HOOK = RECIPES / "certbot-hook"


def serial(certificate: bytes) -> int:
    return x509.load_pem_x509_certificate(certificate).serial_number


def served(recipe: Recipe) -> int:
    return serial(ssl.get_server_certificate(recipe.address(993)).encode())


def run_hook(folder: Path, recipe: Recipe) -> None:
    """As certbot runs it, but for the folder of the configuration and the command that reloads."""
    pid = recipe.mailworker.pid
    environment = {
        **os.environ,
        "RENEWED_LINEAGE": str(folder),
        "MAILWORKER_CERTIFICATES": str(recipe.mailworker.folder / "conf"),
        "MAILWORKER_RELOAD": f"kill -HUP {pid}",
    }
    subprocess.run([str(HOOK)], env=environment, check=True, timeout=60)


def test_certbots_hook_lets_clients_see_the_renewed_certificate(
    run: Run, authority: CertificateAuthority, imap: Backend, certificate: Certificate, tmp_path: Path
) -> None:
    recipe = run("certificates.md", {"192.0.2.10:143": str(imap.address)})
    session = recipe.connect(993)
    session.line()
    assert served(recipe) == serial(certificate.certificate.read_bytes())
    renewed = authority.issue_server("renewed", ecdsa_key(), ("mail.example.com",))
    (tmp_path / "fullchain.pem").write_bytes(renewed.certificate.read_bytes())
    (tmp_path / "privkey.pem").write_bytes(renewed.key.read_bytes())
    run_hook(tmp_path, recipe)
    wait_until(lambda: served(recipe) == serial(renewed.certificate.read_bytes()), "the renewed certificate")
    assert (recipe.mailworker.folder / "conf" / "cert.key").stat().st_mode & 0o077 == 0
    session.talk((b"a NOOP\r\n", b"a OK completed\r\n"))
    session.close()


def test_a_broken_certificate_changes_nothing(
    run: Run, imap: Backend, certificate: Certificate, tmp_path: Path
) -> None:
    recipe = run("certificates.md", {"192.0.2.10:143": str(imap.address)})
    (tmp_path / "fullchain.pem").write_text("nonsense")
    (tmp_path / "privkey.pem").write_text("nonsense")
    run_hook(tmp_path, recipe)
    recipe.mailworker.await_line(r"\[emerg\].*cannot load certificate")
    assert served(recipe) == serial(certificate.certificate.read_bytes())


def test_the_reload_command_of_acme_sh_is_one(run: Run, imap: Backend) -> None:
    """What acme.sh would run: its place is taken by `kill`, as there is no systemd here."""
    page = (RECIPES / "certificates.md").read_text(encoding="utf-8")
    found = re.search(r"acme\.sh --install-cert.*?\n```", page, re.DOTALL)
    assert found
    words = shlex.split(found[0].removesuffix("```").replace("\\\n", " "))
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--fullchain-file"].endswith("/cert.pem")
    assert options["--key-file"].endswith("/cert.key")
    assert options["--reloadcmd"] == "systemctl reload mailworker"
    recipe = run("certificates.md", {"192.0.2.10:143": str(imap.address)})
    recipe.mailworker.signal(signal.SIGHUP)  # conf/mailworker.service: ExecReload
    recipe.mailworker.await_line("reconfiguring")
