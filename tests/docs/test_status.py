"""The alerts and the dashboard in conf/ ask for what is there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from mailworker.mail.end import End
from mailworker.mail.limits.zones import ZoneUse
from mailworker.status.snapshot import CertificateState, DirectoryState
from mailworker.tls.folder import STATES
from tests.status.stage import Scene
from tests.support.daemon import find_program

CONF = Path(__file__).parents[2] / "conf"
RULES, DASHBOARD = CONF / "mailworker.rules.yml", CONF / "mailworker.grafana.json"


def series() -> dict[str, set[str]]:
    """The names of all series, with their labels."""
    scene = Scene()
    scene.work(0)
    scene.certificates = [CertificateState("in", "mail.example", "01", 0, 1)]
    scene.directories = [DirectoryState("/certs", dict.fromkeys(STATES, 0), 1, 0)]
    scene.limits = [ZoneUse("z", "client address", entries=0, bans=0, room=1, dropped=0)]
    found: dict[str, set[str]] = {}
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


def expressions_of_the_dashboard() -> list[str]:
    return [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


def test_each_expression_asks_for_labels_that_its_series_have() -> None:
    known = series()
    alerts = re.findall(r"expr: (?:\|\n)?(.+?)\n +(?:for|labels):", RULES.read_text(), re.DOTALL)
    assert len(alerts) == RULES.read_text().count("expr:")
    for expression in (*alerts, *expressions_of_the_dashboard()):
        names = re.findall(r"\b(mailworker_\w+)(?:\{(.*?)\})?", expression)
        for name, matchers in names:
            assert set(re.findall(r"(\w+)[=!]", re.sub(r'".*?"', "", matchers))) <= known[name] | {"instance"}, (
                expression
            )
        for group in re.findall(r"\bby \((.*?)\)", expression):
            for label in set(group.split(", ")) - {"instance"}:
                assert all(label in known[name] for name, _ in names), expression


def test_promtool_takes_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    expressions = expressions_of_the_dashboard()
    rules = [{"record": f"a:{number}", "expr": each} for number, each in enumerate(expressions)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    ran = subprocess.run(
        [find_program("promtool"), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
