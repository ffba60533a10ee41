from xml.etree import ElementTree

import pytest

from bench.report import BEGIN, END, ROOT, plot, position, put_between, table
from tests.bench.rows import row

MACHINE = {
    "date": "2026-01-02",
    "processors": "2 x Some CPU",
    "system": "Linux 6",
    "nginx": "1.22.1",
    "python": "3.11",
    "openssl": "OpenSSL 3",
}


def test_the_table_has_a_line_for_each_row() -> None:
    lines = list(table(MACHINE, {"one": row(100, 50), "other": row(10, 20, met=False)}))
    assert lines[0] == "2026-01-02, 2 x Some CPU, Linux 6, nginx 1.22.1, Python 3.11, OpenSSL 3.\n"
    assert lines[3:] == [
        "| `one` | CPU per something, us | 100 | 50 | 0.50 | ratio <= 1 | yes |",
        "| `other` | CPU per something, us | 10 | 20 | 2.00 | ratio <= 1 | no |",
    ]


def test_the_plot_is_an_image_with_a_bar_for_each_ratio() -> None:
    rows = {"one": row(100, 50), "a < b": row(10, 20), "without a ratio": row(0, 0)}
    image = ElementTree.fromstring("\n".join(plot(rows)))
    texts = [element.text for element in image.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one", "0.50", "a < b", "2.00"} < set(texts)
    assert "without a ratio" not in texts


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 3.0])
def test_half_as_much_is_always_as_far_to_the_left(ratio: float) -> None:
    assert position(2 * ratio) - position(ratio) == pytest.approx(position(1) - position(0.5), abs=0.2)


def test_what_is_beyond_the_plot_stands_at_its_end() -> None:
    assert (position(0.001), position(1000)) == (position(0.1), position(10))


def test_a_table_takes_the_place_of_the_former_one() -> None:
    page = f"before\n{BEGIN}old\n{END}after\n"
    assert put_between(page, "new\n") == f"before\n{BEGIN}new\n{END}after\n"


def test_the_page_has_a_place_for_the_table() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)
