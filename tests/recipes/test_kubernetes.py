"""The manifest's own configuration serves, as a user that is not root, and answers its probes."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.recipes.conftest import Run
from tests.recipes.stage import RECIPES, Recipe
from tests.support.auth import AuthService
from tests.support.certificates import Certificate

DOCUMENTS = list(yaml.safe_load_all((RECIPES / "kubernetes.yaml").read_text(encoding="utf-8")))


def of_kind(kind: str) -> Any:
    (found,) = [each for each in DOCUMENTS if each["kind"] == kind]
    return found


POD = of_kind("Deployment")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
TEXT: str = of_kind("ConfigMap")["data"]["mailworker.conf"]


def seconds(directive: str) -> int:
    """The time that a directive of the configuration gives."""
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"{directive} ")]
    return int(line.split()[1].removesuffix("s;"))


@pytest.fixture
def recipe(run: Run, auth: AuthService, certificate: Certificate, tmp_path: Path) -> Iterator[Recipe]:
    folder = tmp_path / "certificates" / "mail-example-com"
    folder.mkdir(parents=True)
    (folder / "tls.crt").write_bytes(certificate.certificate.read_bytes())
    (folder / "tls.key").write_bytes(certificate.key.read_bytes())
    changes = {
        "daemon off;\n": "",
        "pid /run/mailworker/mailworker.pid;": "",
        "auth.mail.svc.cluster.local:9000": str(auth.address),
        "/certificates": str(folder.parent),
        "shutdown_delay 6s": "shutdown_delay 1s",
    }
    yield run("kubernetes.md", changes, text=TEXT)


def probe(recipe: Recipe, probe: Any) -> int:
    """The status of a probe of the manifest."""
    (port,) = [each["containerPort"] for each in CONTAINER["ports"] if each["name"] == probe["httpGet"]["port"]]
    connection = http.client.HTTPConnection(recipe.host, port, timeout=10)
    connection.request("GET", probe["httpGet"]["path"])
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_probes_are_answered(recipe: Recipe) -> None:
    worker = recipe.mailworker
    worker.await_true(lambda: probe(recipe, CONTAINER["readinessProbe"]) == 200, "readiness")
    assert probe(recipe, CONTAINER["livenessProbe"]) == 200
    client = recipe.connect(10993)
    assert client.line().startswith(b"* OK ")
    worker.signal(signal.SIGQUIT)
    worker.await_true(lambda: probe(recipe, CONTAINER["readinessProbe"]) == 503, "draining")
    assert probe(recipe, CONTAINER["livenessProbe"]) == 200
    client.talk((b"a NOOP\r\n", b"a OK completed\r\n"))
    client.close()
    assert worker.await_exit() == 0


def test_ports_and_volumes_of_the_manifest_fit_each_other() -> None:
    names = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}
    assert all(f"listen {port}" in TEXT for port in names.values())
    assert {each["targetPort"] for each in of_kind("Service")["spec"]["ports"]} <= names.keys()
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    assert mounts.keys() == {each["name"] for each in POD["volumes"]}
    assert f"{mounts['configuration']}/mailworker.conf" in CONTAINER["args"]
    assert mounts["certificate"].startswith("/certificates/")
    assert TEXT.count(mounts["run"]) == 1


def test_the_kubelet_waits_longer_than_we_drain() -> None:
    readiness = CONTAINER["readinessProbe"]
    assert seconds("shutdown_delay") > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert POD["terminationGracePeriodSeconds"] > seconds("shutdown_delay") + seconds("worker_shutdown_timeout") - 1
