"""All that fuzzers have found worth keeping, and what is like it, goes through every target."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import corpus, dictionaries, native
from fuzz.targets import TARGETS

CHANGES = 5  # of each input for the C part


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_does_no_harm(name: str) -> None:
    inputs = corpus.read(name)
    assert inputs
    for data in inputs:
        TARGETS[name](data)


def _like(name: str) -> st.SearchStrategy[bytes]:
    """Pieces of inputs, words and noise, one after the other."""
    inputs = st.sampled_from(corpus.read(name))
    pieces = st.builds(lambda data, start, end: data[start:end], inputs, st.integers(0, 100), st.integers(0, 400))
    words = st.sampled_from([word.encode("latin-1") for word in dictionaries.WORDS[name]])
    return st.lists(pieces | words | st.binary(max_size=8), max_size=8).map(lambda parts: b"".join(parts)[:512])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_like_it_does_no_harm(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(_like(name)))


def test_the_c_part_keeps_its_bounds(tmp_path: Path) -> None:
    corpus.unpack(native.NAME, tmp_path / "corpus")
    program = native.build_standalone(tmp_path)
    inputs = sorted((tmp_path / "corpus").iterdir())
    done = subprocess.run(
        [program, str(CHANGES), *inputs], capture_output=True, text=True, timeout=60, check=False, errors="replace"
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_corpus_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    inputs = [bytes(range(256)), b"\\n\n", b"", b"\x85a\\"]
    corpus.write("any", inputs)
    assert sorted(corpus.read("any")) == sorted(inputs)
