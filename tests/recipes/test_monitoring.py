"""A real Prometheus reads the numbers and the alerts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.docs.test_configurations import ROOT
from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Backend, Recipe, imap_login
from tests.support.auth import AuthService, accepted
from tests.support.daemon import Daemon, find_program
from tests.support.ports import Ports


@pytest.fixture
def recipe(run: Run, auth: AuthService, imap: Backend, ports: Ports) -> Recipe:
    auth.prepare(accepted(imap.address))
    changes = {"127.0.0.1:9143": f"127.0.0.1:{ports['status']}", "127.0.0.1:9000": str(auth.address)}
    return run("monitoring.md", changes)


@pytest.fixture
def configuration(tmp_path: Path, ports: Ports) -> Path:
    text = (RECIPES / "prometheus.yml").read_text(encoding="utf-8")
    assert "127.0.0.1:9143" in text
    path = tmp_path / "prometheus.yml"
    path.write_text(text.replace("127.0.0.1:9143", f"127.0.0.1:{ports['status']}").replace("15s", "100ms"))
    shutil.copy(ROOT / "conf" / "mailworker.rules.yml", tmp_path)
    return path


def test_promtool_takes_the_file(configuration: Path) -> None:
    command = [find_program("promtool"), "check", "config", str(configuration)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "rules found" in ran.stdout


def is_ready(address: str) -> bool:
    """Whether Prometheus answers questions: it accepts a little earlier."""
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:  # a refused connection, or 503
        return False


def test_prometheus_answers_the_questions_of_the_page(
    recipe: Recipe, configuration: Path, ports: Ports, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{ports['prometheus']}"
    command = [
        find_program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    prometheus = Daemon(command, tmp_path / "prometheus.output")
    try:
        prometheus.await_ready(lambda: is_ready(address))

        def ask(question: str) -> Any:
            with urllib.request.urlopen(f"http://{address}/api/v1/query?query={quote(question)}", timeout=10) as answer:
                return json.load(answer)["data"]["result"]

        recipe.mailworker.await_true(lambda: bool(ask("mailworker_ready == 1")), "a scrape")
        for _ in range(3):
            client = recipe.connect(143, tls=False)
            assert imap_login(client, b"anna", b"secret") == b"a OK done by IMAP\r\n"
            client.close()
        recipe.mailworker.await_true(lambda: bool(ask("mailworker_logins_total == 3")), "logins in Prometheus")
        page = (RECIPES / "monitoring.md").read_text(encoding="utf-8")
        questions = re.findall(r"^\| [^|]+ \| `(.+)` \|$", page, re.MULTILINE)
        assert len(questions) == 3
        for question in questions:
            assert ask(question), question
    finally:
        prometheus.stop()
