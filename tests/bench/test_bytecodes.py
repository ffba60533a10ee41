"""Bytecodes and calls are counted by phases, and start and end do not count."""

import sys
from collections import Counter

import pytest

from bench import bytecodes
from bench.bytecodes import LOGINS, Tracer, main, print_table
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
    few = Counter({("the end", "bytecodes"): 1000, ("the end", "calls"): 7})
    many = Counter({("the end", "bytecodes"): 1000 + 30 * LOGINS, ("the end", "calls"): 7 + 2 * LOGINS})
    print_table("pop3-login", many, few)
    *_, end, _, whole = (line.split()[-2:] for line in capsys.readouterr().out.splitlines())
    assert end == whole == ["30.0", "2.0"]


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench.bytecodes", "imap-logout"])
    with pytest.raises(SystemExit):
        main()
    assert "nothing is named imap-logout" in capsys.readouterr().err
