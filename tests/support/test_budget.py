import pytest

from tests.support.budget import CLASS, FUNCTION, LINE, MODULE, oversized


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


def function_in_c(lines: int) -> str:
    return (
        "struct s {\n    int x;\n};\n\nstatic int *f(int a,\n              int b)\n{\n"
        + body(lines - 4, "    ")
        + "}\n"
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (function_in_c(FUNCTION), []),
        (function_in_c(FUNCTION + 1), ["a.c:5: function f has 51 lines, budget 50"]),
        (body(MODULE + 1, ""), ["a.c:1: module has 401 lines, budget 400"]),
        (f"/*{' ' * (LINE - 4)}*/\n", []),
        (f"\n/*{' ' * (LINE - 3)}*/\n", ["a.c:2: line has 121 characters, budget 120"]),
    ],
)
def test_so_have_those_of_c(source: str, found: list[str]) -> None:
    assert list(oversized("a.c", source)) == found
