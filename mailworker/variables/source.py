"""Where the values of lines lie in a session, told so that C can read them without a call of Python.

native/core/source.c reads them for `Line` in C; `finder` does it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final, NamedTuple

Value = bytes | str | int | float | None
"""Text of our own is a `str`, of others it is bytes; a number with a fraction has three decimals."""

Asked = Callable[[Any], Value]
"""A function of the session."""

Find = Callable[[Any, float], Value]
"""Gives a value of a session, at a time in seconds since the epoch."""


class Kind(IntEnum):
    """What is made of what lies at the end of the paths; native/core/source.c has them in the same order."""

    AT = 0
    """Nothing else."""
    THOUSANDTH = 1
    """Seconds, of ms."""
    DIFFERENCE = 2
    """The first less the second, and the thousandths of the third if there is one."""
    ITEM = 3
    """What the argument has there, a tuple."""
    RESULT = 4
    """What the function at the first comes to for the others."""
    SPELLED = 5
    """The text there; of one with two colons, or other characters than those of ASCII, what the argument comes to."""
    ASKED = 6
    """What the argument comes to for the session itself."""
    ONCE = 7
    """The same, asked for the first session alone."""
    SECOND = 8
    """What the argument comes to for the second, asked once in each."""
    MILLISECOND = 9
    """The three digits behind it."""


class Source(NamedTuple):
    """A path is a name of an attribute, or several with dots between; None on the way is no value.

    There is none either where at `when` is nothing, 0 or what is empty. `otherwise` is asked where no value is found
    at the end of the paths, and where there is anything at `unless`.
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
    """What a function of the session says."""
    return Source(Kind.ASKED, (), function, when)


def finder(source: Source) -> Find:
    """The function that gives the value of a source."""
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
