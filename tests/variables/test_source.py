"""Where values of lines lie in a session: what Python finds there, and what C does."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.event.loop import Loop
from mailworker.mail.end import End
from mailworker.native.core import accelerator
from mailworker.native.core import line as native
from mailworker.variables.line import Line as PythonLine
from mailworker.variables.line import Slot
from mailworker.variables.source import Kind, Source, asked, at
from mailworker.variables.table import address_text

each = pytest.mark.parametrize("make", [native.Line, PythonLine], ids=["here", "Python"])


class Slotted:
    """Attributes of such are read without Python, as those of sessions."""

    __slots__ = ("child", "empty", "ms", "name", "since", "unset")

    def __init__(self, child: object = None, name: object = b"slot") -> None:
        self.child = child
        self.empty = 0
        self.ms = 1500
        self.name = name
        self.since = 2.0


def written(make: Any, *sources: Source, session: object = None) -> bytes:
    line: bytes = make([Slot(b"", b",", b"-", None, source) for source in sources], b"").of(session or Slotted())
    return line


@each
@pytest.mark.parametrize("wrap", [lambda fields: SimpleNamespace(**fields), lambda fields: Slotted(fields["name"])])
def test_a_path_leads_through_attributes_of_any_kind(make: Any, wrap: Any) -> None:
    assert written(make, at("child.name"), session=Slotted(SimpleNamespace(name="x"))) == b"x,"
    inner = wrap({"name": b"inner", "child": b"inner"})
    path = "child.name" if isinstance(inner, SimpleNamespace) else "child.child"
    assert written(make, at(path), at("name"), session=Slotted(inner)) == b"inner,slot,"


@each
def test_one_path_may_meet_objects_of_several_types(make: Any) -> None:
    line = make([Slot(b"", b"", b"-", None, at("child.name"))], b"")
    sessions = [Slotted(child) for child in (Slotted(), SimpleNamespace(name=1), None, Slotted())]
    assert [line.of(session) for session in sessions] == [b"slot", b"1", b"-", b"slot"]


@each
def test_paths_may_begin_alike(make: Any) -> None:
    inner = Slotted(Slotted(name=b"innermost"), name=b"inner")
    paths = "child.child.name", "child.name", "child.empty", "name", "child.child.child", "child.child.child.name"
    assert written(make, *map(at, paths), session=Slotted(inner)) == b"innermost,inner,0,slot,-,-,"


@each
def test_where_a_path_ends_early_there_is_no_value(make: Any) -> None:
    sources = at("child.name"), Source(Kind.THOUSANDTH, ("child",)), Source(Kind.DIFFERENCE, ("since", "child"))
    assert (
        written(make, *sources, Source(Kind.ITEM, ("child",), ("a",)), Source(Kind.SPELLED, ("child",), len))
        == b"-,-,-,-,-,"
    )


@each
def test_what_is_not_found_is_asked_for_elsewhere(make: Any) -> None:
    assert written(make, at("child.name", lambda session: session.name)) == b"slot,"


@each
def test_an_attribute_that_is_not_there_is_an_error(make: Any) -> None:
    for path in ("nowhere", "unset", "name.nowhere"):
        with pytest.raises(AttributeError):
            written(make, at(path))


@each
def test_numbers_are_made_of_numbers(make: Any) -> None:
    sources = (
        Source(Kind.THOUSANDTH, ("ms",)),
        Source(Kind.DIFFERENCE, ("ms", "since")),
        Source(Kind.DIFFERENCE, ("since", "since", "ms")),
        Source(Kind.ITEM, ("empty",), ("first", "second")),
    )
    assert written(make, *sources) == b"1.500,1498.000,1.500,first,"


@each
def test_functions_get_a_value_several_or_the_session(make: Any) -> None:
    session = Slotted(lambda ms, name: b"%d %b" % (ms, name))
    sources = (
        Source(Kind.RESULT, ("child", "ms", "name")),
        Source(Kind.SPELLED, ("name",), bytes.upper),
        asked(lambda session: session.ms + 1),
    )
    assert written(make, *sources, session=session) == b"1500 slot,SLOT,1501,"


@each
def test_backends_are_spelled_as_they_are_called_but_for_colons_in_their_host(make: Any) -> None:
    for text in ("192.0.2.1:143", "unix:/s", "", "::1:143", "unix:/a:b", "unix:/\u00e9"):
        spelled = written(make, Source(Kind.SPELLED, ("name",), address_text), session=Slotted(None, name=text))
        assert spelled == address_text(text) + b","


@each
def test_members_of_an_enum_are_told_apart(make: Any) -> None:
    line = make([Slot(b"", b"", None, None, at("child.word"))], b"")
    for end in (End.QUIT, End.QUIT, End.NO_BYTES, End.BUG, End.BUG):
        assert line.of(Slotted(end)) == end.word.encode()


@each
def test_numbers_of_objects_in_c_are_numbers(make: Any) -> None:
    sources = at("child.now"), Source(Kind.DIFFERENCE, ("child.now", "child.now", "child.now"))
    loop = Loop(lambda bug: None)
    loop.now = 1500.25
    try:
        assert written(make, *sources, session=Slotted(loop)) == b"1500.250,1.500,"
    finally:
        loop.close()


@each
def test_numbers_of_objects_in_c_are_values_of_any_kind(make: Any) -> None:
    loop = Loop(lambda bug: None)
    loop.now = 1.0
    try:
        session = Slotted(loop, name=lambda now: now + 1)
        sources = Source(Kind.THOUSANDTH, ("child.now",)), Source(Kind.RESULT, ("name", "child.now")), USED_IF_NOW
        assert written(make, *sources, session=session) == b"0.001,2.000,1500,"
        for source in (at("child.now.nowhere"), at("child.now.nowhere.now"), Source(Kind.ITEM, ("child.now",), ("a",))):
            with pytest.raises((AttributeError, TypeError)):
                written(make, source, session=session)
    finally:
        loop.close()


USED_IF_NOW = at("ms", when="child.now")


@each
def test_what_a_function_raises_comes_out(make: Any) -> None:
    def fail(_: object) -> bytes:
        raise LookupError

    for source in (asked(fail), at("child", fail), Source(Kind.SECOND, (), fail), Source(Kind.ONCE, (), fail)):
        with pytest.raises(LookupError):
            written(make, source)


@each
def test_conditions_keep_a_value_or_have_another_asked(make: Any) -> None:
    def other(_: object) -> bytes:
        return b"other"

    sources = (
        Source(Kind.AT, ("name",), None, "ms"),
        Source(Kind.AT, ("name",), None, "empty", "", other),
        Source(Kind.AT, ("name",), None, "child.name", "", other),
        Source(Kind.AT, ("name",), None, "", "ms", other),
        Source(Kind.AT, ("ms",), None, "", "ms", other),
        Source(Kind.AT, ("name",), None, "ms", "empty", other),
        Source(Kind.AT, ("name",), None, "ms", "ms"),
    )
    assert written(make, *sources) == b"slot,-,-,other,other,slot,-,"


@each
def test_what_is_the_same_in_all_lines_is_asked_once(make: Any) -> None:
    numbers = iter(range(9))
    line = make([Slot(b"", b"", None, None, Source(Kind.ONCE, (), lambda session: next(numbers)))], b"")
    assert [line.of(1), line.of(2)] == [b"0", b"0"]


@each
def test_a_second_is_asked_for_once_and_has_its_milliseconds(make: Any) -> None:
    seconds: list[int] = []

    def told(second: int) -> int:
        seconds.append(second)
        return second

    sources = Source(Kind.SECOND, (), told), Source(Kind.MILLISECOND)
    line = make([Slot(b"", b".", None, None, source) for source in sources], b"")
    before = time.time()
    found = [line.of(None) for _ in range(50)]
    after = time.time()
    assert len(seconds) == len(set(seconds)) <= after - before + 2
    for text in found:
        assert re.fullmatch(rb"\d{10}\.\d{3}\.", text)
        assert int(before * 1000) <= int(text.replace(b".", b"")) <= after * 1000


@each
def test_a_value_without_a_source_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="no source"):
        make([Slot(b"")], b"")
    assert make([], b"end").of(None) == b"end"


if accelerator is not None:  # Python does not look at what a source is made of

    @pytest.mark.parametrize(
        "source",
        [
            b"", (), (10, (), None, "", "", None), (-1, (), None, "", "", None),
            (0, ("a.b.c.d.e",), None, "", "", None), (0, ("a", "b", "c", "d"), None, "", "", None),
            (0, (b"a",), None, "", "", None),
            (0, None, None, "", "", None), ("", (), None, "", "", None), (3, ("a",), [], "", "", None),
            (0, (), None, "", "", None), (5, (), len, "", "", None),
            (4, (), None, "", "", None), (0, ("a",), None, None, "", None), (0, ("a",), None, "", b"", None),
        ],
    )  # fmt: skip
    def test_what_is_no_source_is_refused(source: Any) -> None:
        good = Slot(b"", b"", None, None, at("a"))
        for slots in ([Slot(b"", b"", None, None, source)], [good, Slot(b"", b"", None, None, source)]):
            with pytest.raises((TypeError, ValueError)):
                native.Line(slots, b"")
        with pytest.raises(TypeError):
            native.Line([good, Slot(b"")], b"")

    def test_there_may_be_64_paths_in_a_line() -> None:
        sources = [at(f"child{number}", when="child0") for number in range(64)]
        line = native.Line([Slot(b"", b"", None, None, source) for source in sources], b"")
        session = SimpleNamespace(**{f"child{number}": number + 1 for number in range(64)})
        assert line.of(session) == b"".join(b"%d" % number for number in range(1, 65))
        with pytest.raises(ValueError, match="a line has too many paths"):
            native.Line([Slot(b"", b"", None, None, source) for source in [*sources, at("more")]], b"")
