import json
from pathlib import Path

from bench.results import Results, cells
from tests.bench.rows import row


def test_a_row_joins_those_that_the_file_has(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    Results.read(file).put("one", row(100, 50))
    Results.read(file).put("other", row(100, 60))
    Results.read(file).put("one", row(100, 70))
    kept = json.loads(file.read_text())
    assert kept["rows"] == {"one": row(100, 70), "other": row(100, 60)}
    assert set(kept["machine"]) == {"date", "processors", "system", "nginx", "python", "openssl"}


def test_without_a_file_nothing_is_kept() -> None:
    Results.read(None).put("one", row(100, 50))


def test_a_table_shows_medians_and_whether_the_goal_is_reached() -> None:
    assert cells("one", row(123.456, 61.728)) == ["one", "123.5", "61.73", "0.50", "us", "ratio <= 1", "yes"]
    assert cells("one", row(10, 20, met=False))[-1] == "no"
