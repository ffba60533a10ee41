"""The alerts and the dashboard in conf/ ask for what is there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from mailworker.mail.end import End
from tests.status.stage import Scene
from tests.support.daemon import find_program

CONF = Path(__file__).parents[2] / "conf"
RULES, DASHBOARD = CONF / "mailworker.rules.yml", CONF / "mailworker.grafana.json"


def series() -> dict[str, set[str]]:
    """The names of all series, with their labels."""
    scene = Scene()
    scene.work(0)
    found: dict[str, set[str]] = {"mailworker_tls_certificate_expiry_seconds": {"server", "subject", "serial"}}
    for line in scene.get("/metrics").content.decode().splitlines():
        match = re.match(r"(\w+)(?:\{(.*)\})? ", line)
        if match is not None and not line.startswith("#"):
            found[match[1]] = set(re.findall(r'(\w+)="', match[2] or ""))
    return found


def test_promtool_takes_the_rules() -> None:
    ran = subprocess.run(
        [find_program("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"SUCCESS: \d+ rules found", ran.stdout)


FAULTS = "More than 5 % of imap clients of a meet a fault of the auth service or of a backend"
NOBODY = "imap clients of a try to log in and none gets in: is the backend down?"


@pytest.mark.parametrize(
    ("alert", "severity", "summary"),
    [("MailworkerLoginsFailByFault", "critical", FAULTS), ("MailworkerNobodyLogsIn", "warning", NOBODY)],
)
def test_a_backend_that_is_down_is_told_though_its_clients_may_try_again(
    tmp_path: Path, alert: str, severity: str, summary: str
) -> None:
    labels = {"severity": severity, "instance": "a", "protocol": "imap"}
    told = {"exp_labels": labels, "exp_annotations": {"summary": summary}}
    values = {
        'mailworker_auth_requests_total{instance="a",protocol="imap"}': "0+5x60",
        'mailworker_connections_accepted_total{instance="a",protocol="imap"}': "0+5x60",
        'mailworker_logins_total{instance="a",protocol="imap"}': "0+5x20 100+0x40",
        'mailworker_sessions_total{instance="a",protocol="imap",end="auth_error"}': "0+0x60",
        'mailworker_upstream_failures_total{instance="a",protocol="imap",reason="upstream_connect"}': "0+0x20 0+5x40",
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": each} for name, each in values.items()],
        "alert_rule_test": [
            {"eval_time": "20m", "alertname": alert, "exp_alerts": []},
            {"eval_time": "50m", "alertname": alert, "exp_alerts": [told]},
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    ran = subprocess.run(
        [find_program("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_they_ask_for_series_labels_and_ends_that_there_are(path: Path) -> None:
    text, known = path.read_text(), series()
    assert set(re.findall(r"\bmailworker_\w+", text)) <= known.keys()
    labels = set(re.findall(r"\$labels\.(\w+)|\{\{(\w+)\}\}", text))
    assert {one or other for one, other in labels} <= {"instance"}.union(*known.values())
    words = re.findall(r"end!?[=~]+\\?\"([^\"\\]+)", text)
    ends = {end.word for end in End}
    assert words
    for pattern in (each for word in words for each in word.split("|")):
        assert any(re.fullmatch(pattern, end) for end in ends), pattern


def test_the_dashboard_is_one_and_its_panels_do_not_overlap() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    squares = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(squares) == len(set(squares))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_promtool_takes_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"a:{number}", "expr": each} for number, each in enumerate(expressions)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    ran = subprocess.run(
        [find_program("promtool"), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
