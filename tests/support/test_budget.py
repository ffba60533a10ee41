import pytest

from tests.support.budget import CLASS, FUNCTION, MODULE, oversized


def body(lines: int, indent: str) -> str:
    return f"{indent}x = 1\n" * lines


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (body(MODULE, ""), []),
        (body(MODULE + 1, ""), ["a.py:1: module has 401 lines, budget 400"]),
        ("class A:\n" + body(CLASS - 1, "    "), []),
        ("\nclass A:\n" + body(CLASS, "    "), ["a.py:2: class A has 201 lines, budget 200"]),
        ("def f():\n" + body(FUNCTION - 1, "    "), []),
        ("async def f():\n" + body(FUNCTION, "    "), ["a.py:1: function f has 51 lines, budget 50"]),
        ("class A:\n  def f():\n" + body(FUNCTION, "    "), ["a.py:2: function f has 51 lines, budget 50"]),
    ],
)
def test_each_room_has_its_budget(source: str, found: list[str]) -> None:
    assert list(oversized("a.py", source)) == found
