"""What watches mail servers from outside finds mailworker well, as the page has it."""

from __future__ import annotations

import re
import shlex
import subprocess
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Backend, Recipe
from tests.support.auth import AuthService, accepted, rejected
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.daemon import Daemon, ServerUnavailable, accepts, find_program
from tests.support.patience import PATIENCE
from tests.support.ports import Ports

HOST = "mail.example.com"
PAGE = (RECIPES / "checks.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```(sh|monit)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
PLUGINS = BLOCKS["sh"].splitlines()
# Debian's is the first one.
PLUGIN_FOLDERS = ("/usr/lib/nagios/plugins", "/usr/lib/monitoring-plugins", "/usr/lib64/nagios/plugins")
PROBES = {"imap": 143, "imaps": 993, "pop3s": 995, "submission": 587, "sieve": 4190}
WATCHED = {143, 465, 993, 995, 4190}


@pytest.fixture(scope="session")
def certificate(authority: CertificateAuthority) -> Certificate:
    """Valid for longer than the checks demand."""
    return authority.issue_server("checked", ecdsa_key(), (HOST,), validity=timedelta(days=60))


@pytest.fixture
def recipe(run: Run, auth: AuthService, smtp: Backend) -> Recipe:
    """All logins go to a mail server that lets everybody in."""
    auth.prepare(accepted(smtp.address))
    return run("checks.md", {"127.0.0.1:9000": str(auth.address)})


def program(name: str, *folders: str) -> str:
    try:
        return find_program(name, *folders)
    except ServerUnavailable as error:
        pytest.skip(str(error))


def plugin(line: str, host: str) -> subprocess.CompletedProcess[str]:
    name, *arguments = shlex.split(line.replace(HOST, host))
    command = [program(name, *PLUGIN_FOLDERS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_monitoring_plugins_are_content(recipe: Recipe) -> None:
    assert len(PLUGINS) == 6
    for line in PLUGINS:
        ran = plugin(line, recipe.host)
        assert (ran.returncode, "OK - " in ran.stdout) == (0, True), (line, ran.stdout, ran.stderr)


def test_a_plugin_that_logs_in_tells_of_a_wrong_password(recipe: Recipe, auth: AuthService) -> None:
    auth.prepare(rejected(b"Invalid login or password"))
    (line,) = [line for line in PLUGINS if "-A LOGIN" in line]
    ran = plugin(line, recipe.host)
    assert ran.returncode == 2, ran.stderr
    assert ran.stdout.startswith("SMTP CRITICAL - ")


def test_monit_is_content(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "monitrc"
    own = "".join(f'set {name}file "{tmp_path / name}"\n' for name in ("pid", "id", "state"))
    path.write_text(f"set daemon 1\n{own}{BLOCKS['monit'].replace(HOST, recipe.host)}")
    path.chmod(0o600)
    monit = Daemon([program("monit"), "-I", "-v", "-c", str(path)], tmp_path / "monit.output")

    def found(result: str) -> set[int]:
        said = (tmp_path / "monit.output").read_text(errors="replace")
        return {int(port) for port in re.findall(rf"{result} .*? at \[{recipe.host}\]:(\d+) ", said)}

    try:
        recipe.mailworker.await_true(
            lambda: found("succeeded testing protocol") | found("failed protocol test") >= WATCHED, "all checks"
        )
        assert found("failed protocol test") == set(), (tmp_path / "monit.output").read_text(errors="replace")
    finally:
        monit.stop()


def test_the_blackbox_exporter_is_content(
    recipe: Recipe, authority: CertificateAuthority, ports: Ports, tmp_path: Path
) -> None:
    """Its modules are as they are in the file, but trust the tests' certificates and ask for their name."""
    tls = f"    tcp:\n      tls_config: {{ca_file: {authority.path}, server_name: {HOST}}}\n"
    configuration = tmp_path / "blackbox.yml"
    configuration.write_text((RECIPES / "blackbox.yml").read_text(encoding="utf-8").replace("    tcp:\n", tls))
    own = ("127.0.0.1", ports["blackbox"])
    command = [
        program("prometheus-blackbox-exporter"),
        f"--config.file={configuration}",
        f"--web.listen-address={own[0]}:{own[1]}",
    ]
    exporter = Daemon(command, tmp_path / "blackbox.output")

    def probed(module: str, port: int) -> str:
        url = f"http://{own[0]}:{own[1]}/probe?module={module}&target={recipe.host}:{port}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    try:
        exporter.await_ready(lambda: accepts(own))
        for module, port in PROBES.items():
            metrics = probed(module, port)
            assert "\nprobe_success 1\n" in metrics, (module, recipe.mailworker.error_log.read_text())
            assert "\nprobe_ssl_earliest_cert_expiry " in metrics, module
        assert "\nprobe_success 0\n" in probed("imaps", PROBES["imap"])  # no TLS there
    finally:
        exporter.stop()
