from __future__ import annotations

import re

import pytest

from tests.support.house import PICTURE, ROOMS, draw, floors, read_imports


def without_sizes(picture: str) -> str:
    """The picture without numbers of lines, which change often; it is about rooms and arrows."""
    return re.sub(r", [0-9]+</text>", "</text>", picture)


def test_the_picture_of_the_house_is_that_of_the_code() -> None:
    assert without_sizes(draw()) == without_sizes(PICTURE.read_text(encoding="utf-8"))


def test_every_room_stands_above_all_that_it_imports() -> None:
    imports = read_imports()
    floor = floors(imports)
    assert set(floor) == set(ROOMS)
    assert [(room, below) for room in imports for below in imports[room] if floor[room] <= floor[below]] == []


def test_rooms_that_import_each_other_are_named() -> None:
    with pytest.raises(ValueError, match=r"^rooms import each other: a -> b -> a$"):
        floors({"a": {"b"}, "b": {"a"}})
