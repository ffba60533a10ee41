"""Sources of values: descriptions of where a session has a value, so that C can read it without Python code.

native/variables/source.c reads them for `Line` in C; `finder` does the same in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final, NamedTuple

Value = bytes | str | int | float | None
"""Text of mailworker is `str`, text of others is bytes; a float is written with three decimals."""

Asked = Callable[[Any], Value]
"""A function that computes a value from the session."""

Find = Callable[[Any, float], Value]
"""Returns a value of a session, at a time in seconds since the epoch."""


class Kind(IntEnum):
    """How the value is made from the objects at the paths; native/variables/source.c has them in this order."""

    AT = 0
    """The object itself."""
    THOUSANDTH = 1
    """Milliseconds, as seconds."""
    DIFFERENCE = 2
    """The first minus the second, in seconds, plus the third in ms, if there is one."""
    ITEM = 3
    """The item of the argument, a tuple, at the index that is found at the path."""
    RESULT = 4
    """The result of the function at the first path, called with the others."""
    SPELLED = 5
    """The text there; if it has two colons or is not ASCII, the result of the argument, a function, for it."""
    ASKED = 6
    """The result of the argument, a function, for the session."""
    ONCE = 7
    """As ASKED, but called only for the first session."""
    SECOND = 8
    """The result of the argument, a function, for the current second; called once in each second."""
    MILLISECOND = 9
    """The milliseconds of the current second, three digits."""


class Source(NamedTuple):
    """The source of a value. A path is one attribute name, or several with dots between; None in it means no value.

    There is no value either if the object at `when` is None, 0 or empty. `otherwise` is called if the paths give no
    value, and if the object at `unless` is true.
    """

    kind: Kind
    paths: tuple[str, ...] = ()
    argument: object = None
    when: str = ""
    unless: str = ""
    otherwise: Asked | None = None


def at(path: str, otherwise: Asked | None = None, *, when: str = "") -> Source:
    """The value at a path."""
    return Source(Kind.AT, (path,), None, when, "", otherwise)


def asked(function: Asked, *, when: str = "") -> Source:
    """The result of a function of the session."""
    return Source(Kind.ASKED, (), function, when)


def finder(source: Source) -> Find:
    """The function that returns the value of a source."""
    find = _FINDERS[source.kind](source)
    when, unless, otherwise = (
        source.when and _follow(source.when),
        source.unless and _follow(source.unless),
        source.otherwise,
    )

    def found(session: Any, now: float) -> Value:
        if when and not when(session):
            return None
        value = None if unless and unless(session) else find(session, now)
        return otherwise(session) if value is None and otherwise is not None else value

    return found


def _follow(path: str) -> Callable[[Any], Any]:
    names = path.split(".")
    if len(names) == 1:
        return attrgetter(path)

    def follow(session: Any) -> Any:
        for name in names:
            if session is None:
                return None
            session = getattr(session, name)
        return session

    return follow


def _at(source: Source) -> Find:
    follow = _follow(source.paths[0])
    return lambda session, now: follow(session)


def _thousandth(source: Source) -> Find:
    follow = _follow(source.paths[0])

    def find(session: Any, now: float) -> Value:
        number = follow(session)
        return None if number is None else number / 1000

    return find


def _difference(source: Source) -> Find:
    end, begin, *more = map(_follow, source.paths)

    def find(session: Any, now: float) -> Value:
        numbers = end(session), begin(session), more[0](session) if more else 0
        return None if None in numbers else numbers[0] - numbers[1] + numbers[2] / 1000

    return find


def _result(source: Source) -> Find:
    function, *arguments = map(_follow, source.paths)
    return lambda session, now: function(session)(*(argument(session) for argument in arguments))


def _item(source: Source) -> Find:
    table: Any = source.argument
    return _of_value(source, table.__getitem__)


def _of_value(source: Source, function: Any) -> Find:
    follow = _follow(source.paths[0])

    def find(session: Any, now: float) -> Value:
        value = follow(session)
        return None if value is None else function(value)

    return find


def _spelled(source: Source) -> Find:
    spell: Any = source.argument

    def spelled(text: Any) -> Any:
        usual = isinstance(text, str) and text.isascii() and text.count(":") < 2
        return text if usual else spell(text)

    return _of_value(source, spelled)


def _asked(source: Source) -> Find:
    function: Any = source.argument
    return lambda session, now: function(session)


def _once(source: Source) -> Find:
    function: Any = source.argument
    kept: list[Value] = []

    def find(session: Any, now: float) -> Value:
        if not kept:
            kept.append(function(session))
        return kept[0]

    return find


def _second(source: Source) -> Find:
    function: Any = source.argument
    kept: dict[int, Value] = {}

    def find(session: Any, now: float) -> Value:
        second = int(now)
        if second not in kept:
            kept.clear()
            kept[second] = function(second)
        return kept[second]

    return find


def _millisecond(source: Source) -> Find:
    return lambda session, now: b"%03d" % int(now % 1 * 1000)


_FINDERS: Final[Sequence[Callable[[Source], Find]]] = (
    *(_at, _thousandth, _difference, _item, _result, _spelled, _asked, _once, _second, _millisecond),
)
