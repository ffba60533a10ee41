from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.config.access_log import AccessLog, AccessLogSettings, On
from mailworker.config.destinations import AccessLogFile, AccessLogPattern, Destination
from mailworker.config.log_format import SpecialFormat, TextFormat
from mailworker.config.syslog import SyslogServer
from mailworker.log import access_logs as module
from mailworker.log.access_logs import AccessLogs, write_lines
from mailworker.model import Level
from mailworker.variables.escapes import DEFAULT, ESCAPES, Escape
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.support.lines import Lines
from tests.variables.facts import Session

FILES: Final = tuple(AccessLogFile(Path(name)) for name in ("/a", "/b"))


def form(text: bytes, escape: Escape = DEFAULT) -> TextFormat:
    return TextFormat(parse(text), escape)


def written(*logs: AccessLog, event: On = On.END, session: Session | None = None) -> list[tuple[int, bytes, bytes]]:
    destinations: dict[Destination, None] = dict.fromkeys((*FILES, *(log.destination for log in logs)))
    places = {destination: place for place, destination in enumerate(destinations)}
    lines = Lines()
    ready = AccessLogs(AccessLogSettings(logs), Variables({}), places)
    of_event = {On.LOGIN: ready.at_login, On.FAILURE: ready.at_failure, On.END: ready.at_end}[event]
    write_lines(of_event, session or Session(), lines)
    return lines.sent


def test_a_line_goes_to_its_place_among_the_destinations() -> None:
    logs = AccessLog(FILES[1], form(b"b $protocol")), AccessLog(FILES[0], form(b"constant"))
    assert written(*logs) == [(1, b"", b"b imap\n"), (0, b"", b"constant\n")]


def test_each_log_has_its_events() -> None:
    logs = [AccessLog(FILES[0], form(on.name.encode()), on=on) for on in On if on.name]
    assert [written(*logs, event=on) for on in On] == [[(0, b"", f"{on.name}\n".encode())] for on in On]


@pytest.mark.parametrize(("login", "count"), [(b"0", 0), (b"", 0), (None, 0), (b"1", 1), (b"00", 1)])
def test_a_condition_that_comes_to_nothing_or_0_keeps_the_line(login: bytes | None, count: int) -> None:
    log = AccessLog(FILES[0], form(b"x"), parse(b"$auth_user"))
    assert len(written(log, session=Session(auth_user=login))) == count


def test_a_path_with_variables_is_told_as_it_comes_out() -> None:
    log = AccessLog(AccessLogPattern(Path("/a"), parse(b"$protocol/$auth_user")), form(b"x"))
    assert written(log, session=Session(auth_user=b"../b")) == [(2, b"imap/../b", b"x\n")]


@pytest.mark.parametrize("special", SpecialFormat)
def test_a_format_of_its_own_has_a_date_but_for_syslog_which_adds_one(
    special: SpecialFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPECIAL", {special: lambda dated: lambda _: b"dated" if dated else b"undated"})
    syslog = SyslogServer("/dev/log", 2, Level.INFO, "tag", nohostname=True)
    logs = [AccessLog(to, special) for to in (FILES[0], AccessLogPattern(Path("/a"), parse(b"$protocol")), syslog)]
    assert [line for _, _, line in written(*logs)] == [b"dated", b"dated", b"undated"]


@pytest.mark.parametrize("null_sessions", [True, False])
@pytest.mark.parametrize("on", On)
def test_logs_are_true_where_anything_is_written(on: On, null_sessions: bool) -> None:
    log = AccessLog(FILES[0], form(b"x"), on=on)
    logs = AccessLogs(AccessLogSettings((log,), null_sessions), Variables({}), {FILES[0]: 0})
    assert logs
    assert logs.null_sessions is null_sessions
    assert not AccessLogs(AccessLogSettings(), Variables({}), {})


@given(st.binary(), st.sampled_from(["default", "json"]))
def test_any_login_is_one_line_and_can_be_read_back(login: bytes, escape: str) -> None:
    ((_, _, line),) = written(
        AccessLog(FILES[0], form(b'"$auth_user"', ESCAPES[escape])), session=Session(auth_user=login)
    )
    assert line.count(b"\n") == 1
    assert line.startswith(b'"')
    assert line.endswith(b'"\n')
    assert _read_back(line[1:-2]) == login


@given(st.binary())
def test_without_an_escape_a_value_is_what_it_is(login: bytes) -> None:
    log = AccessLog(FILES[0], form(b"<$auth_user>", ESCAPES["none"]))
    assert written(log, session=Session(auth_user=login)) == [(0, b"", b"<%b>\n" % login)]


_SHORT: Final = {b'"': b'"', b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _read_back(text: bytes) -> bytes:
    """Both escapes undone."""
    found, position = b"", 0
    while position < len(text):
        assert text[position : position + 1] != b'"'
        if text[position : position + 1] != b"\\":
            found += text[position : position + 1]
            position += 1
        elif text[position + 1 : position + 2] in (b"x", b"u"):
            digits = (text[position + 1 : position + 2] == b"u" and 6) or 4
            found += bytes.fromhex(text[position + digits - 2 : position + digits].decode())
            position += digits
        else:
            found += _SHORT[text[position + 1 : position + 2]]
            position += 2
    return found
