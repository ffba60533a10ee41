"""What backends have said is remembered, in bounds, with what it allows."""

from __future__ import annotations

import pytest

from mailworker.wire.remembered import LONGEST, MOST, Remembered


def hear(memory: Remembered[int], backend: str, text: bytes, allows: int = 1) -> int:
    """As a server that reads a text which it does not remember."""
    return memory.allowed(backend, text, lambda _text: allows)


def test_a_text_that_cannot_be_read_is_not_remembered() -> None:
    memory = Remembered[int]()
    for _ in range(3):
        with pytest.raises(ValueError, match="invalid"):
            memory.allowed("backend", b"x", int)
    assert not memory.expected
    assert [memory.allowed("backend", b"7", int) for _ in range(2)] == [7, 7]
    assert memory.expected["backend"].allows == 7


def test_texts_and_backends_are_remembered_in_bounds() -> None:
    memory = Remembered[int]()
    for number in range(2 * MOST):
        for _ in range(2):
            hear(memory, f"backend {number}", b"%d" % number)
        kind = memory.expected[f"backend {number}"]
        assert b"%d" % number in kind.known.last
        assert len(kind.texts) <= MOST
    for number in range(2 * MOST):
        hear(memory, f"backend {number}", b"the same", 2)
        assert len(memory.expected) <= MOST
    assert memory.expected[f"backend {number}"].allows == 2


def test_texts_that_were_heard_once_are_remembered_in_bounds() -> None:
    memory = Remembered[int]()
    for number in range(MOST):
        hear(memory, "backend", b"%d" % number)
    hear(memory, "backend", b"1")
    assert memory.expected
    for number in range(2):
        hear(memory, "backend", b"another %d" % number)
    hear(memory, "backend", b"2")
    assert not memory.expected


def test_what_never_comes_twice_is_never_foreseen_and_supplants_nothing() -> None:
    memory = Remembered[int]()
    for _ in range(2):
        hear(memory, "known", b"known")
    for number in range(2 * MOST):
        hear(memory, "backend", b"%d" % number)
        hear(memory, "another", b"at %d" % number, 2)
        assert memory.expected.keys() == {"known"}


def test_a_long_text_is_not_remembered() -> None:
    memory = Remembered[int]()
    for length, remembered in ((LONGEST, True), (LONGEST + 1, False)):
        for _ in range(3):
            hear(memory, "backend", b"x" * length)
        assert ("backend" in memory.expected) == remembered


def test_a_new_text_is_not_foreseen_before_it_comes_again() -> None:
    memory = Remembered[int]()
    for text, allows in ((b"first", 1), (b"second", 2), (b"third", 1)):
        for repeated in (False, True, True):
            assert hear(memory, "backend", text, allows) == allows
            assert ("backend" in memory.expected) == repeated
            assert "another" not in memory.expected
        assert memory.expected["backend"].allows == allows


def test_a_known_text_of_another_backend_is_expected_at_once() -> None:
    memory = Remembered[int]()
    hear(memory, "backend", b"hello")
    hear(memory, "another", b"hello")
    assert memory.expected.keys() == {"another"}


def test_texts_that_allow_the_same_are_of_one_kind() -> None:
    memory = Remembered[int]()
    for text, allows in ((b"first", 1), (b"second", 1), (b"other", 2)) * 2:
        hear(memory, text.decode(), text, allows)
    assert memory.expected["first"] is memory.expected["second"]
    assert memory.expected["first"].known.last == {b"first", b"second"}
    assert memory.expected["other"].known.last == {b"other"}


def test_what_a_text_allows_may_be_learned_later() -> None:
    memory = Remembered[int]()
    for text in (b"first", b"second") * 2:
        hear(memory, "backend", text, 1)
    before = memory.expected["backend"]
    memory.remember("backend", b"second", 2)
    assert memory.expected["backend"].allows == 2
    assert memory.expected["backend"].known.last == {b"second"}
    assert before.known.last == {b"first"}
    for text, allows in ((b"first", 1), (b"second", 2)):
        assert hear(memory, "backend", text) == allows


def test_what_a_new_text_allows_may_be_learned_before_it_comes_again() -> None:
    memory = Remembered[int]()
    hear(memory, "backend", b"hello", 1)
    memory.remember("backend", b"hello", 2)
    assert "backend" not in memory.expected
    assert hear(memory, "backend", b"hello", 1) == 2
