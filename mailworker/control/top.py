"""mailworker-top shows the sessions of a running mailworker, live in a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Input, Static

from mailworker import __version__
from mailworker.control.client import Client, default_path
from mailworker.control.commands import choices, select
from mailworker.control.output import SESSIONS
from mailworker.control.table_view import KEYS, MOST, Row, Source, View
from mailworker.errors import counted

NAME: Final = "mailworker-top"
_SECONDS: Final = 2.0
_SHORTEST: Final = 0.1

# The most lines of the table, as drawing 10,000 would take longer than the time between two updates.
_LINES: Final = 500


class Top(App[None]):
    """A table that is fetched again every few seconds."""

    CSS = "#filter { display: none; } #filter.shown { display: block; } #state { height: 1; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("/", "filter", "Filter"),
        Binding("escape", "unfilter", "All", show=False),
        Binding("<,less_than_sign", "sort(-1)", "Sort left"),
        Binding(">,greater_than_sign", "sort(1)", "Sort right"),
        Binding("r", "reverse", "Reverse"),
        Binding("p", "pause", "Pause"),
    ]

    def __init__(self, source: Source, seconds: float = _SECONDS) -> None:
        super().__init__()
        self.source = source
        self.view = View()
        self.paused = False
        self._asking = False
        self._seconds = seconds

    def compose(self) -> ComposeResult:
        """See App."""
        yield Static(id="state", markup=False)
        yield Input(placeholder="words that a line must hold", id="filter")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """See App."""
        self._table.focus()
        self._headings()
        self._ask_again()
        self.set_interval(self._seconds, self._ask_again)

    @property
    def _table(self) -> DataTable[Any]:
        return self.query_one(DataTable)

    def _ask_again(self) -> None:
        """Request the rows, unless a request is unanswered: a second thread would read parts of its answer."""
        if not self.paused and not self._asking:
            self._asking = True
            self._ask()

    @work(thread=True)
    def _ask(self) -> None:
        """Request all sessions in a thread, while keys are handled."""
        try:
            self.source.refresh()
            self.call_from_thread(self.show)
        finally:
            self._asking = False

    def show(self) -> None:
        """Show the first rows; the cursor stays on its session."""
        table, rows = self._table, self.view.of(self.source.rows)[:_LINES]
        looked_at = self._looked_at
        table.clear()
        for row in rows:
            table.add_row(*(Text(cell, justify=_side(number)) for number, cell in enumerate(self.view.cells(row))))
        place = next((number for number, row in enumerate(rows) if row["id"] == looked_at), None)
        if place is not None:
            table.move_cursor(row=place)
        self.query_one("#state", Static).update(self._state(rows))

    @property
    def _looked_at(self) -> str | None:
        table = self._table
        if not table.row_count:
            return None
        return str(table.get_cell_at(Coordinate(table.cursor_row, KEYS.index("id"))))

    def _state(self, rows: Sequence[Row]) -> str:
        if self.source.error:
            return f"no answer: {self.source.error}"
        relayed = sum(row["state"] == "relay" for row in self.source.rows)
        paused = ", paused" if self.paused else ""
        first = "first " if self.source.count >= MOST else ""  # there may be more
        return f"{first}{counted(self.source.count, 'session')}, {relayed} relayed, {len(rows)} shown{paused}"

    def _headings(self) -> None:
        table = self._table
        table.clear(columns=True)
        for column in SESSIONS:
            mark = ("v" if self.view.reverse else "^") if column.key == self.view.key else ""
            table.add_column(f"{column.heading}{mark}", key=column.key)

    def _look(self, view: View) -> None:
        self.view = view
        self._headings()
        self.show()

    def action_sort(self, step: int) -> None:
        """Sort by the column `step` to the right."""
        self._look(self.view.moved(step))

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._look(self.view.by(self.view.key))

    def action_pause(self) -> None:
        """Stop refreshing, or resume."""
        self.paused = not self.paused
        self.show()

    def action_filter(self) -> None:
        """Show the filter's input."""
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_unfilter(self) -> None:
        """Show all again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("shown")
        self._table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter by the words typed so far."""
        self._look(self.view.filtered(event.value))

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Return to the table: the words are complete."""
        self._table.focus()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the heading that was clicked."""
        self._look(self.view.by(str(event.column_key.value)))


def _side(number: int) -> Any:
    return "right" if SESSIONS[number].right else "left"


def delay(text: str) -> float:
    """Seconds between two updates. Raises ValueError for what is no time; argparse shows the function's name."""
    seconds = float(text)
    if not 0 <= seconds < inf:
        raise ValueError(text)
    return max(seconds, _SHORTEST)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until the user quits; returns the exit code."""
    parser = argparse.ArgumentParser(NAME, description=__doc__)
    parser.add_argument("-S", "--socket", type=Path, default=default_path(), metavar="PATH", help="the control socket")
    parser.add_argument("-d", "--delay", type=delay, default=_SECONDS, metavar="SECONDS", help="between updates (2)")
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    select(parser)
    found = parser.parse_args(arguments)
    if len(selectors := [*choices(found)]) > 1:
        parser.error("one MASK is enough")
    if not sys.stdout.isatty():
        parser.error("it needs a terminal")
    with Client(found.socket) as client:
        Top(Source(client, selectors[0]), found.delay).run()
    return 0
