"""Bytecodes and calls are counted by phases, and start and end do not count."""

import sys
from collections import Counter

import pytest

from bench import bytecodes
from bench.arena import Arena
from bench.bytecodes import LOGINS, Tracer, count, main, print_table
from mailworker.wire.quoted import quoted


def test_what_python_does_is_counted_in_its_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bytecodes.FIRST, "quoted.quoted", "quoting")
    tracer, before = Tracer(), sys.gettrace()
    sys.settrace(tracer.called)
    quoted(b"x")
    sys.settrace(before)
    assert tracer.counts["quoting", "calls"] == 1
    assert tracer.counts["quoting", "bytecodes"] > 5


def test_a_login_is_the_difference(capsys: pytest.CaptureFixture[str]) -> None:
    few = Counter({("the relay begins", "bytecodes"): 1000, ("the relay begins", "calls"): 7})
    many = Counter(
        {("the relay begins", "bytecodes"): 1000 + 30 * LOGINS, ("the relay begins", "calls"): 7 + 2 * LOGINS}
    )
    print_table("pop3-login", many, few)
    *_, relay, _, whole = (line.split()[-2:] for line in capsys.readouterr().out.splitlines())
    assert relay == whole == ["30.0", "2.0"]


def test_logins_by_tls_are_counted_as_those_in_clear(arena: Arena) -> None:
    counts = {name: count(arena, name, 3) for name in ("imap-login", "imaps-tls12-id")}
    for each in counts.values():
        assert each["the question", "calls"] >= 3
        assert each["its answer", "bytecodes"] > 0


@pytest.mark.parametrize("name", ["imap-logout", "imap-login-status", "imap-login-sessions", "imap-login-control"])
def test_other_names_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench.bytecodes", name])
    with pytest.raises(SystemExit):
        main()
    assert f"nothing is named {name}" in capsys.readouterr().err
