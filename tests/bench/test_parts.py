from __future__ import annotations

import pytest

from bench import parts


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LEAST", 0.0), ("ROUNDS", 1), ("NAMES", 100)):
        monkeypatch.setattr(parts, name, value)


@pytest.mark.parametrize("name", parts.PARTS)
def test_each_part_tells_what_was_done_and_what_it_took(name: str) -> None:
    rows = list(parts.PARTS[name]())
    assert rows
    assert all(figure >= 0 for _, figure in rows)
    assert len({what for what, _ in rows}) == len(rows)


def test_parts_can_be_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench.parts", "map"])
    parts.main()
    printed = capsys.readouterr().out
    assert printed.startswith("map: ")
    assert " us  one of 100 names\n" in printed
    assert "login: " not in printed


def test_a_step_costs_as_much_as_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LEAST", 0.002)
    assert parts.cost(lambda: sum(range(20_000))) > 10 * parts.cost(lambda: sum(range(200)))
