"""The table in a terminal that is none."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from mailworker.control.client import Client
from mailworker.control.table_view import MOST, Row, Source
from mailworker.control.top import Top, main
from tests.control.conftest import Server
from tests.control.test_table_view import ROWS
from tests.support.patience import PATIENCE

SCRIPT = Path(__file__).resolve().parents[2] / "bin" / "mailworker-top"
ANSWER = [*({"session": row} for row in ROWS), {"ok": True, "count": 3, "unlisted": 0}]

Act = Callable[[Top, Pilot[None]], Awaitable[None]]


def play(server: Server, act: Act, *answers: Any, seconds: float = PATIENCE) -> None:
    """Show what is answered, and let somebody press keys."""

    async def run() -> None:
        with Client(scripted.path) as client:
            top = Top(Source(client, {}), seconds)
            async with top.run_test(size=(120, 20)) as pilot:
                await settled(top, pilot, lambda: "session" in state(top) or "no answer" in state(top))
                await act(top, pilot)

    scripted = server(*(answers or [ANSWER]))
    asyncio.run(asyncio.wait_for(run(), PATIENCE))


async def settled(top: Top, pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Until it holds, which `play` gives some time."""
    while not condition():
        await pilot.pause(0.01)


def state(top: Top) -> str:
    return str(top.query_one("#state", Static).render())


def ids(top: Top) -> list[str]:
    table: DataTable[Any] = top.query_one(DataTable)
    return [str(table.get_row_at(number)[0]) for number in range(table.row_count)]


def headings(top: Top) -> list[str]:
    table: DataTable[Any] = top.query_one(DataTable)
    return [str(column.label) for column in table.ordered_columns]


def test_sessions_are_shown_with_the_oldest_first(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        assert ids(top) == ["b", "a", "c"]
        assert state(top) == "3 sessions, 1 relayed, 3 shown"
        assert headings(top)[7] == "agev"

    play(scripted, act)


def test_keys_and_headings_order_it(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        await pilot.press("r")
        assert ids(top) == ["c", "a", "b"]
        assert headings(top)[7] == "age^"
        await pilot.press("greater_than_sign", "greater_than_sign")
        assert top.view.key == "in"
        assert ids(top) == ["b", "a", "c"]
        await pilot.press("less_than_sign")
        assert top.view.key == "idle"
        await pilot.click(DataTable, offset=(5, 0))
        assert top.view.key == "user"
        assert ids(top) == ["c", "b", "a"]

    play(scripted, act)


def test_words_filter_it_as_they_are_typed(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        await pilot.press("/", *"bob")
        assert ids(top) == ["a"]
        assert state(top) == "3 sessions, 1 relayed, 1 shown"
        await pilot.press("enter", "r")
        assert ids(top) == ["a"]
        await pilot.press("escape")
        assert len(ids(top)) == 3

    play(scripted, act)


def test_it_is_asked_for_again_and_whoever_is_looked_at_stays_so(scripted: Server) -> None:
    newer = {**ROWS[0], "id": "d", "age": 70}

    async def act(top: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        await settled(top, pilot, lambda: ids(top)[0] == "d")
        table: DataTable[Any] = top.query_one(DataTable)
        assert str(table.get_row_at(table.cursor_row)[0]) == "a"

    play(scripted, act, ANSWER, [{"session": newer}, *ANSWER], *[[{"session": newer}, *ANSWER]] * 100, seconds=0.2)


def test_a_pause_lets_it_be(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        await pilot.press("p")
        assert state(top).endswith(", paused")
        await pilot.press("p")
        assert not top.paused

    play(scripted, act)


def test_where_nobody_answers_that_is_shown(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        assert state(top) == "no answer: there is no table"

    play(scripted, act, [{"error": "there is no table"}])


def test_what_sessions_are_called_is_no_markup(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        table: DataTable[Any] = top.query_one(DataTable)
        assert str(table.get_row_at(0)[1]) == r"[red]b\x1B[/red]"

    play(scripted, act, [{"session": {**ROWS[0], "user": "[red]b\x1b[/red]"}}, {"ok": True, "count": 1, "unlisted": 0}])


class Slow:
    """A source whose answer takes until `answered` is set."""

    def __init__(self, *rows: Row) -> None:
        self.answered = threading.Event()
        self.asked = 0
        self.count, self.error, self.rows = len(rows), "", rows

    def refresh(self) -> None:
        self.asked += 1
        self.answered.wait(PATIENCE)


def test_a_slow_answer_is_waited_for_before_it_is_asked_again() -> None:
    async def run() -> None:
        source = Slow()
        top = Top(cast(Source, source), PATIENCE)
        async with top.run_test() as pilot:
            await settled(top, pilot, lambda: source.asked == 1)
            for _ in range(3):
                top._ask_again()
            source.answered.set()
            await settled(top, pilot, lambda: "sessions" in state(top) and not top._asking)
            assert source.asked == 1
            top._ask_again()
            await settled(top, pilot, lambda: source.asked == 2 and not top._asking)

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_a_busy_host_costs_no_more_lines_than_can_be_looked_at() -> None:
    async def run() -> None:
        source = Slow(*({**ROWS[0], "id": str(number)} for number in range(MOST)))
        source.answered.set()
        top = Top(cast(Source, source), PATIENCE)
        async with top.run_test() as pilot:
            await settled(top, pilot, lambda: "sessions" in state(top))
            assert state(top) == "first 10000 sessions, 0 relayed, 500 shown"
            assert len(ids(top)) == 500

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_it_quits(scripted: Server) -> None:
    async def act(top: Top, pilot: Pilot[None]) -> None:
        await pilot.press("q")
        await settled(top, pilot, lambda: not top.is_running)

    play(scripted, act)


@pytest.mark.parametrize(
    ("line", "reason"),
    [("a b", "one MASK is enough"), ("a", "it needs a terminal"), ("-o x", 'argument -o/--older: invalid time "x"')],
)
def test_what_is_not_understood_and_what_is_no_terminal_is_refused(
    line: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {reason}\n")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon"])
def test_a_delay_is_a_time_that_passes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["-d", text])
    assert ended.value.code == 2
    assert "invalid delay value" in capsys.readouterr().err


def test_the_script_runs_from_the_source_tree() -> None:
    ran = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, check=False, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "live in a terminal" in " ".join(ran.stdout.split())


def test_the_script_tells_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "textual.py").write_text("raise ImportError('no textual')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, check=False, text=True, env=environment)
    assert ran.returncode == 1
    assert f"cannot run it: no textual. It needs the package textual: `{sys.executable} -m pip install" in ran.stderr
    (wanted,) = re.findall(r"pip install '(.*?)'", ran.stderr)
    assert f'"top": ["{wanted}"]' in (SCRIPT.parents[1] / "setup.py").read_text()
    assert f"pip install '{wanted}'" in (SCRIPT.parents[1] / "docs" / "control.md").read_text()
