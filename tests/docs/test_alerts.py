"""promtool plays what Prometheus sees of a mailworker, and tells which alerts of conf/mailworker.rules.yml fire."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.docs.test_status import RULES, series
from tests.status.stage import Scene
from tests.support.daemon import find_program

Values = Mapping[str, str]
"""Series, most of whose names begin with "mailworker_", and a value a minute of each, as promtool reads them."""

# Minutes after which all is still well, and after which a fault has lasted for half an hour.
GOOD, BAD = 20, 50
DAY = 24 * 60
RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "monitoring.md"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())


class Row(NamedTuple):
    """An alert: the series that fire it after GOOD minutes, and series that come near to that and are no fault."""

    alert: str
    severity: str
    summary: str
    fault: Values
    no_fault: Values
    labels: Mapping[str, str] = {}
    begins: int = 0
    evaluated: str = "1m"


def histogram(name: str, labels: str, all_: str, fast: str) -> Values:
    """So many take at most 5 s, and so many of them at most 10 ms."""
    bounds = {"0.01": fast, "5.0": all_, "+Inf": all_}
    return {f'{name}_bucket{{{labels}le="{bound}"}}': values for bound, values in bounds.items()}


def logins(attempts: str, successes: str, faults: str = "0x60", refused: str = "0x60") -> Values:
    """`attempts` are those that the auth service allows."""
    return {
        'connections_accepted_total{protocol="imap"}': attempts,
        'auth_requests_total{protocol="imap",result="ok"}': attempts,
        'auth_requests_total{protocol="imap",result="failed"}': refused,
        'logins_total{protocol="imap"}': successes,
        'sessions_total{protocol="imap",end="auth_error"}': "0x60",
        'upstream_failures_total{protocol="imap",reason="upstream_connect"}': faults,
    }


LIMITED = 'sessions_total{protocol="imap",end="limit_auth"}'
REFUSED = 'auth_requests_total{protocol="imap",result="failed"}'
CERTIFICATE = {"server": "s", "subject": "CN=a", "serial": "1"}
EXPIRY = 'tls_certificate_expiry_seconds{server="s",subject="CN=a",serial="1"}'
START = EXPIRY.replace("expiry", "start")
DUE, INVALID = (f'tls_directory_certificates{{directory="/c",state="{each}"}}' for each in ("due", "invalid"))
FAULTY = 'tls_directory_faulty_files{directory="/c"}'
LOST = 'log_dropped_total{log="access.log"}'
ROWS = [
    Row(
        *("MailworkerServesNobody", "critical", "a has no worker that accepts clients"),
        {"workers": "2x19 0x40"},
        {"workers": "2x48 0 2x10"},  # as at a restart
    ),
    Row(
        *("MailworkerIsGone", "critical", "a does not answer"),
        {'up{job="mailworker"}': "1x19 0x40"},
        {'up{job="mailworker"}': "1x48 0 1x10", 'up{job="other"}': "0x60"},
        {"job": "mailworker"},
    ),
    Row(
        *("MailworkerWorkersDie", "warning", "Workers of a end by signal, the error log says more"),
        {'worker_respawns_total{reason="signal"}': "0x19 0+1x40"},
        {'worker_respawns_total{reason="signal"}': "0x44 2x14"},
        {"reason": "signal"},
    ),
    Row(
        *("MailworkerReloadFailed", "warning"),
        "a goes on with its old configuration: the last reload has failed",
        {"config_last_reload_successful": "1x19 0x40"},
        {"config_last_reload_successful": "1x44 0x3 1x11"},
    ),
    Row(
        *("MailworkerCertificateEnds", "warning", "The certificate CN=a of s ends in 13d 22h 55m 0s"),
        {EXPIRY: f"{14 * 86400 + 45 * 60}x180", START: f"{-76 * 86400}x180"},
        {EXPIRY: f"{14 * 86400 + 60 * 60}x180", START: f"{-76 * 86400}x180"},
        CERTIFICATE,
        60,
    ),
    # A short-lived one.
    Row(
        *("MailworkerCertificateEnds", "warning", "The certificate CN=a of s ends in 1d 10h 55m 0s"),
        {EXPIRY: f"{36 * 3600 + 45 * 60}x180", START: f"{-108 * 3600 + 45 * 60}x180"},
        {EXPIRY: f"{36 * 3600 + 120 * 60}x180", START: f"{-108 * 3600 + 120 * 60}x180"},
        CERTIFICATE,
        60,
    ),
    Row(
        *("MailworkerCertificateHasEnded", "critical", "The certificate CN=a of s has ended 25m 0s ago"),
        {EXPIRY: f"{25 * 60}x60"},
        {EXPIRY: f"{50 * 60}x60"},
        CERTIFICATE,
    ),
    Row(
        *("MailworkerCertificatesAreNotRenewed", "warning"),
        "a has certificates below /c that end soon (2): mailworker-ctl certificates lists them",
        {DUE: "0x24 2x125"},
        {DUE: "0x60 2x40 0x50"},
        {"directory": "/c", "state": "due"},
        60,
    ),
    Row(
        *("MailworkerCertificatesAreInvalid", "warning"),
        "a has certificates below /c that have ended, or are not valid yet (3): renew or remove them",
        {INVALID: "0x19 3x40"},
        {INVALID: "0x60"},
        {"directory": "/c", "state": "invalid"},
    ),
    Row(
        *("MailworkerCertificateFilesAreFaulty", "warning"),
        "a cannot use files below /c (2): mailworker-ctl certificates says why",
        {FAULTY: "0x19 2x40"},
        {FAULTY: "0x44 2x3 0x11"},  # as while they are written
        {"directory": "/c"},
    ),
    Row(
        *("MailworkerTurnsClientsAway", "warning", "a turns clients away: worker_connections is used up"),
        {'connections_dropped_total{reason="worker_connections"}': "0x19 0+5x40"},
        {'connections_dropped_total{reason="worker_connections"}': "0x44 9x14"},
        {"reason": "worker_connections"},
    ),
    Row(
        *("MailworkerWorkersAreLate", "warning", "Workers of a are 3.752s late: they have too little processor time"),
        histogram("worker_loop_lag_seconds", "", "0+60x60", "0+60x19 1200+36x40"),
        histogram("worker_loop_lag_seconds", "", "0+60x60", "0+56x60"),
    ),
    Row(
        *("MailworkerWorkerIsFull", "warning"),
        "Worker 1 of a uses 95% of its connections: it will turn clients away",
        {"worker_connections_limit": "100x60", 'worker_connections{worker="1"}': "5x19 95x40"},
        {"worker_connections_limit": "100x60", 'worker_connections{worker="1"}': "5x19 90x40"},
        {"worker": "1"},
    ),
    Row(
        *("MailworkerLosesLogLines", "warning", "a has lost lines of access.log"),
        {LOST: "0x19 0+1x40"},
        {LOST: "7x60"},
        {"log": "access.log"},
    ),
    Row(
        *("MailworkerMostLoginsFail", "critical"),
        "More than half of imap clients of a meet a fault of the auth service or of a backend",
        logins("0+10x60", "0+10x19 200x40", "0x19 0+10x40"),
        logins("0+10x60", "0+10x47 470x2 480+10x11", "0x48 10x2 20x11"),  # as while the backend is restarted
        {"protocol": "imap"},
    ),
    Row(
        *("MailworkerLoginsFailByFault", "critical"),
        "More than 5 % of imap clients of a meet a fault of the auth service or of a backend",
        logins("0+100x60", "0+100x19 2000+90x40", "0x19 0+10x40"),
        logins("0+100x60", "0+97x60", "0+3x60"),
        {"protocol": "imap"},
    ),
    # The clients of such a backend may try again.
    Row(
        *("MailworkerLoginsFailByFault", "critical"),
        "More than 5 % of imap clients of a meet a fault of the auth service or of a backend",
        logins("0+5x60", "0+5x19 100x40", "0x19 0+5x40"),
        logins("0x60", "0x60"),
        {"protocol": "imap"},
    ),
    Row(
        *("MailworkerNobodyLogsIn", "warning"),
        "imap clients of a try to log in and none gets in: is the backend down?",
        logins("0+5x60", "0+5x19 100x40", "0x19 0+5x40"),
        logins("0+5x19 100x40", "0+5x19 100x40", refused="0x19 0+30x40"),  # at night, when only passwords are guessed
        {"protocol": "imap"},
    ),
    Row(
        *("MailworkerDecisionsAreSlow", "warning", "One login in twenty waits 4.376s for http at a"),
        histogram("auth_seconds", 'source="http",', "0+60x60", "0+60x19 1200+36x40"),
        histogram("auth_seconds", 'source="http",', "0+60x60", "0+58x60"),
        {"source": "http"},
    ),
    Row(
        *("MailworkerPasswordsAreGuessed", "warning"),
        "Ten times as many imap logins are refused at a as a day before",
        {REFUSED: f"0+6x{DAY + 19} {6 * (DAY + 20)}+130x40"},
        {REFUSED: f"0+6x{DAY + 19} {6 * (DAY + 20)}+110x40"},
        {"protocol": "imap"},
        DAY,
        "10m",  # 1500 evaluations would take promtool 5 s
    ),
    # Without a day before.
    Row(
        *("MailworkerPasswordsAreGuessed", "warning"),
        "Ten times as many imap logins are refused at a as a day before",
        {REFUSED: "0+6x19 120+130x40"},
        {REFUSED: "0+6x19 120+50x40"},
        {"protocol": "imap"},
    ),
    Row(
        *("MailworkerLimitsRefuseMany", "warning"),
        "Ten times as many imap sessions end by limit_auth at a as a day before",
        {LIMITED: "0+6x19 120+130x40"},
        {LIMITED: "0+6x19 120+50x40"},
        {"protocol": "imap", "end": "limit_auth"},
    ),
    Row(
        *("MailworkerLimitForgets", "warning"),
        "The zone z of a is too small: it forgets clients that should be limited",
        {'limit_zone_exhausted_total{zone="z"}': "0x19 0+1x40"},
        {'limit_zone_exhausted_total{zone="z"}': "7x60"},
        {"zone": "z"},
    ),
]


def input_series(values: Values) -> list[dict[str, str]]:
    found = []
    for key, each in values.items():
        name, _, labels = key.removesuffix("}").partition("{")
        found.append({"series": f'{"mailworker_" * (name != "up")}{name}{{instance="a",{labels}}}', "values": each})
    return found


def play(path: Path, values: Values, expected: Sequence[Mapping[str, Any]], evaluated: str = "1m") -> None:
    test = {"interval": "1m", "input_series": input_series(values), "alert_rule_test": expected}
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": evaluated, "tests": [test]}))
    ran = subprocess.run(
        [find_program("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout


def quiet(*minutes: int) -> list[dict[str, Any]]:
    return [{"eval_time": f"{each}m", "alertname": alert, "exp_alerts": []} for each in minutes for alert in ALERTS]


def test_each_alert_has_its_row_of_series_that_there_are() -> None:
    assert {row.alert for row in ROWS} == set(ALERTS)
    known = series() | {"up": {"job"}}
    for each in (each["series"] for row in ROWS for each in input_series({**row.fault, **row.no_fault})):
        assert set(re.findall(r'(\w+)="', each)) <= known[each.partition("{")[0]] | {"instance"}, each


def test_the_recipe_says_what_to_do_at_each_alert() -> None:
    assert re.findall(r"^\| `(Mailworker\w+)` \|", RECIPE.read_text(), re.MULTILINE) == ALERTS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.alert)
def test_an_alert_fires_when_there_is_a_fault_and_only_then(tmp_path: Path, row: Row) -> None:
    good, bad = row.begins + GOOD, row.begins + BAD
    labels = {"instance": "a", "severity": row.severity, **row.labels}
    fired = {"exp_labels": labels, "exp_annotations": {"summary": row.summary}}
    expected = {"eval_time": f"{bad}m", "alertname": row.alert, "exp_alerts": [fired]}
    play(tmp_path / "fault.yml", row.fault, [*quiet(good), expected], row.evaluated)
    play(tmp_path / "no_fault.yml", row.no_fault, quiet(good, bad), row.evaluated)


@pytest.mark.parametrize(
    ("before", "after"),
    [("{0}x120", ""), ("_x20", "{0}x100"), ("9x40", "_ {0}x80")],
    ids=["always quiet", "started", "restarted"],
)
def test_nothing_fires_for_a_quiet_mailworker(tmp_path: Path, before: str, after: str) -> None:
    """With all of its series; those that are totals may have had other values before a restart."""
    scene = Scene()
    scene.work(0)
    values = {
        EXPIRY: "4e9x120",
        START: "0x120",
        DUE: "0x120",
        INVALID: "0x120",
        FAULTY: "0x120",
        'up{job="mailworker"}': "1x120",
    }
    for line in scene.get("/metrics").content.decode().splitlines():
        name, _, value = line.removeprefix("mailworker_").rpartition(" ")
        if not line.startswith("#"):
            total = re.search(r"_(total|bucket|sum|count)\b", name)
            values[name] = f"{before} {after}".format(value) if total else f"{value}x120"
    play(tmp_path / "test.yml", values, quiet(1, 22, 30, 42, 51, 65, 110))
